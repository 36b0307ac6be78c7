"""An id in, a readable file out: a file for each source more, found by its `SOURCE`.

A source may be a data set with labels of its own (`OwnLabels`). The usual ones (YouTube, a URL
template, a folder, IRMAS) are in `audio.fetching.fetch`.
"""
