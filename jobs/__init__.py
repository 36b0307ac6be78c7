"""Entry points for `ray job submit`: parse, run one flow, print a summary, exit."""

import pipeline as pipeline  # before Ray, which is to listen on loopback
