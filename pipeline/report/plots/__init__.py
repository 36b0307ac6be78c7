"""Typed results in, figures out; one module per subject."""
