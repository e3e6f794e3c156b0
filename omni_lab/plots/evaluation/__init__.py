"""Figures of accuracy, retrieval, confusion and needles."""
