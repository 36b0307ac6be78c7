"""A dataset in, a model out, by Ray Train."""
