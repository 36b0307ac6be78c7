"""Samples in, a matrix out: one file for each additional front end, found by its `FRONT_END`.

The usual ones are in `input_kinds`, `kaldi`, `filterbank` and `stacked` of `audio.spectra`.
"""
