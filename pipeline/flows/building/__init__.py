"""AudioSet rows in, a dataset out, by Ray: downloaders, their gate, the flow."""
