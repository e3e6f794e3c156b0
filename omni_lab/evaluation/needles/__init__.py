"""Needle in a haystack: depth × length accuracy of any model behind one small interface."""
