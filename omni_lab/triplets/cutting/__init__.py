"""Clip segmentation: a decoded film cut into clips of 5 to 15 s."""
