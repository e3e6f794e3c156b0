"""Trunk and branches: constant rate, decay branches from its checkpoints, merges of them."""
