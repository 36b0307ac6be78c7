"""What the page of a tagging run has of its own: what stands out, tables, filters."""
