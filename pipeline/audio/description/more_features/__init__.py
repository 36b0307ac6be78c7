"""A clip's analysis in, a feature more out: a file for each, found by its `FEATURE`.

The usual 24 are in `feature_table`, in the order of the report of 2023; what is added here
follows them, and `jobs.extract_features` takes it by its name.
"""
