"""Frames of films and still pictures as upright sRGB arrays."""
