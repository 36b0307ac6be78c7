"""Samples in, numbers that describe them out: features of a clip, their statistics, pitch."""
