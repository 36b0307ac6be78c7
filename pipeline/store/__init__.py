"""Tables on disk or in a bucket: atomic shards, what is done and what is left."""
