"""Entry points for `ray job submit`: parse, run one flow, print a summary, exit."""

import signal
import sys

if sys.argv[:1] == ["-m"]:  # python -m jobs.x: as long as it imports, Ctrl-C just ends it
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import pipeline as pipeline  # before Ray, which is to listen on loopback
