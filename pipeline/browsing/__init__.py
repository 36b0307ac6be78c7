"""The page on which people search a catalogue's tags, listen to it and correct it."""
