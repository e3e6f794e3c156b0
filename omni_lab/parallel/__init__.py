"""Context parallelism: sharding a row over ranks, ring attention and its peers, and their cost."""
