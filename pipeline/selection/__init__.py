"""The class vocabulary, AudioSet's files, splits and the sharding plan: PURE."""
