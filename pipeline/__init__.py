"""timbre: AudioSet rows go in at the top, instrument tags over whole catalogues come out at the bottom."""
