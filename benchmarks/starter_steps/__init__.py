"""What `benchmarks/starter.py` does, a step a module: the starter is made again from these."""
