"""A model and a truth in, metrics out, by Ray Data."""
