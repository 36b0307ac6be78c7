"""The tables' schemas, and nothing else: one file per table, each column with meaning and unit.

SEGMENTS -> LEDGER, CLIPS, FEATURES -> (model) -> TAGS; docs/formats.md shows them all.
"""
