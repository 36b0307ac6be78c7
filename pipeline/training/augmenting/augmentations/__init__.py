"""Windows in, disturbed ones out: a file for each way more, found by its `AUGMENTATION`.

The usual ones are in `augmenting.augment`, and come first; `jobs.train --augment` takes all by
name.
Changes of samples in the loader's processes, without torch, are in `augmenting.randomise`.
"""
