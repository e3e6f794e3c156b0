"""Exams on the gallery, the world whose truth is known."""
