"""Scores in; labels, metrics, statistics and what runs found, as typed results, out. PURE."""
