"""An excerpt of a track in, some numbers that describe it out: a set a file, by its `ATTRIBUTES`.

`jobs.tag_catalog --attributes` takes a set by the name of its file; its columns stand in TAGS.
"""
