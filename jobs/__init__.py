"""Entry points for `ray job submit`: parse, run one flow, print the summary, return the exit code."""
