"""Shards: webdataset tars of clips with a Parquet index, written, verified, streamed."""
