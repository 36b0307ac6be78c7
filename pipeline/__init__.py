"""timbre: AudioSet rows go in at the top, instrument tags over catalogues come out below."""
