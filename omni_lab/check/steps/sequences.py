"""Small exercises of notebook 02: formats, packing, attention between modalities."""
