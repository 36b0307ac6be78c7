"""Numbers that describe samples: features of a clip, their statistics, pitch."""
