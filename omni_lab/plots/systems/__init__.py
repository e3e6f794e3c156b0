"""Figures of context parallelism and of training plans."""
