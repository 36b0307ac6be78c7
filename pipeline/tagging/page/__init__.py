"""The page of a tagging: its figures, and examples to hear."""
