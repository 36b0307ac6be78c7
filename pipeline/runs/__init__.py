"""What all jobs share: logs, where a run came from, the comparison of two, curves over epochs."""
