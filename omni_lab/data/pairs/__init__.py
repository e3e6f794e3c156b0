"""Pairs of a picture, or a sound, and a text: webdataset tars, `datasets` folders, chat messages."""
