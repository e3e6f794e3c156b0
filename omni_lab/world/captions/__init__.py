"""Captioned pictures with wrong words: what selective training learns from, truth known."""
