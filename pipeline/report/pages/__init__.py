"""Typed results in, one self-contained HTML page out; one module per page."""
