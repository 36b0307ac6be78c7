"""Samples in, a matrix out: a file for each front end more, found by its `FRONT_END`.

The usual ones are in `input_spec`, `kaldi`, `filterbank` and `stacked` of `audio.spectra`.
"""
