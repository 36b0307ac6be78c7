"""Models, windows, the training loop and checkpoints: torch, no Ray."""
