"""What an export has for each track: where its file lies, the file itself, its embedding."""
