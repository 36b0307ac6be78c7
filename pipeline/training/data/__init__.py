"""What a training step gets: clips on disk, windows cut of them, sampling, loaders."""
