"""A tagging run's folder in, other people's formats out: a file a format, found by its `EXPORT`."""
