"""From a source to samples to features: fetch, decode, wav, log-mel."""
