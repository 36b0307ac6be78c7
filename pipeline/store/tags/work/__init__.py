"""What a tagging has to do: the sorted listing of a catalogue, and the tracks that are left."""
