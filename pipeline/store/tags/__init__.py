"""The TAGS of a folder, in parts: what is known, what is left, files in order, the index."""
