"""THE ONLY RAY in pipeline/: thin adapters over the packages below them, and edges without it."""
