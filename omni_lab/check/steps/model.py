"""Small exercises of notebook 03: patches, frames of sound, connectors, positions."""
