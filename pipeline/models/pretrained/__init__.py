"""Taggers that others have trained on AudioSet: one module per family, found by its `FAMILY`."""
