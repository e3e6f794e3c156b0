"""Figures of the model: its parts and their shapes, what they see and hear, what they cost."""
