"""Tables of a run in, its figures out: counts, pace, drift, what to listen to."""
