"""Typed results in, one self-contained HTML page out; a module a page."""
