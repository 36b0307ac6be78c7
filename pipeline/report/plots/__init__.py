"""Typed results in, figures out; a module a subject."""
