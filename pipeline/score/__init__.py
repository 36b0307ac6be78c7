"""From window scores to labels, metrics, pictures and pages."""
