"""Tracks and a model in, committed rows of TAGS out: tagging without Ray, in the job's own process.

The flow takes it for small runs; for large ones it gives the same functions to Ray's processes.
"""
