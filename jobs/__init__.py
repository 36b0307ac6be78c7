"""Entry points for `ray job submit`: parse, run one flow, print a summary, exit."""
