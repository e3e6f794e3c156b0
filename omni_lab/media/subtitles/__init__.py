"""Subtitles of any form and encoding as timed cues."""
