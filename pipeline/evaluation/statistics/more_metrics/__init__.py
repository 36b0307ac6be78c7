"""Labels and scores in, a figure more out: a file for each, found by its `METRIC`.

The usual figures are in `statistics.metrics`. One from here is computed with them in every
evaluation, stands in metrics.json under its name and in the page's table of all figures under its
title.
"""
