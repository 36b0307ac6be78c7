"""Samples in, a matrix out: a file for each front end more, found by its `FRONT_END`.

The usual ones are in `audio.inputs`, `audio.kaldi`, `audio.filterbank` and `audio.stacked`.
"""
