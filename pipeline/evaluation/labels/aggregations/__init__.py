"""Windows in, a clip out: a file for each way to get there, found by its `AGGREGATION`."""
