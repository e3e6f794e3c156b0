"""Needle-in-a-haystack rows, texts and films, and training data for context extension."""
