"""Figures of clips, sequences, packing and masks."""
