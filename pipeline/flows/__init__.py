"""THE ONLY RAY in pipeline/: thin adapters over the rooms before them, and edges without it."""
