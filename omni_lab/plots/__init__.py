"""Figures from arrays and records, for notebooks and HTML pages; models are not imported here."""
