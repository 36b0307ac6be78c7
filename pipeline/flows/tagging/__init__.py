"""A catalogue in, TAGS out, by Ray Data."""
