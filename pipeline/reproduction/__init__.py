"""The report, done again: options in, the plan of its experiments and what it claims out. PURE."""
