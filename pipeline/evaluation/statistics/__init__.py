"""Targets and scores in, metrics and what they mean out: bootstrap, significance, confusion."""
