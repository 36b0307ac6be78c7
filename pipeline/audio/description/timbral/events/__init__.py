"""Where the events of a sound begin: its envelope, its onsets, and how fast each attack is."""
