"""Files that list tracks: Parquet, CSV, JSON lines and playlists."""
