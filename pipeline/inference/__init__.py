"""A track in, its row of TAGS out: windows, scores, labels; one path for all who ask a model."""
