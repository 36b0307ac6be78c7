"""Scores in, labels out: aggregation over windows, thresholds, calibration, intervals."""
