"""The formats of other programs: one file per format, found by its `EXPORT`."""
