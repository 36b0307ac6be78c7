"""Samples in, a matrix out: one file for each additional front end.

`FRONT_END` lets model.json be read again; a kind that `input_kinds` knows needs none. With
`NETWORK_INPUT`, which makes the front end in the frames of a log-mel, `jobs.train --input` takes it
by the file's name. The usual ones are in `input_kinds`, `kaldi`, `filterbank` and `stacked` of
`audio.spectra`.
"""
