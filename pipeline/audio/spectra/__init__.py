"""Samples in, what a network sees out: front ends, log-mels, filter banks, windows."""
