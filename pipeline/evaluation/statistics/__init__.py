"""Metrics of scores against targets, and what they mean: bootstrap, significance, confusion."""
