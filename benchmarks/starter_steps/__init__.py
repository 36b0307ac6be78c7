"""What `benchmarks/starter.py` does, one step per module: the starter is made again from these."""
