"""An audio file's own metadata: read, changed without harm to the file, and taken back."""
