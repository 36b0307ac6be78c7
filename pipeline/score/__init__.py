"""From window scores to labels, metrics and statistics, in numbers."""
