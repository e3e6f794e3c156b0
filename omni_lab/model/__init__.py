"""Image and audio encoders, connectors and a decoder, built from Hugging Face's modules."""
