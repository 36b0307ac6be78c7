"""Samples in, the same sound as another recording of it: domain randomisation. NumPy only.

Rendered and close recordings have no room, codec, amplifier or cheap microphone; catalogues do. A
transform a file (`base.Transform`), found by its `TRANSFORMS`; `chain.randomised` composes them.
Nothing here imports torch, so that a process that only makes batches starts quickly.
"""
