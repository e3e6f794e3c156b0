"""Figures of training: losses, learning curves, rotary positions."""
