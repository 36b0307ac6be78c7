"""What a network sees of samples: front ends, log-mels, filter banks, windows."""
