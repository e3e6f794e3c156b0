"""Clips as role-play dialogues, and their export for other programs."""
