"""The tables' schemas, and nothing else: one file a table, every column with its meaning and unit.

SEGMENTS -> LEDGER, CLIPS, FEATURES -> (model) -> TAGS; docs/formats.md shows them all.
"""
