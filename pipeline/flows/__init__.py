"""THE ONLY RAY in pipeline/: build, fit and tag, thin adapters over the rooms before them."""
