"""Taggers that others have trained on AudioSet: a module a family, found by its `FAMILY`."""
