"""Figures of evaluation: accuracy, retrieval, confusion matrix, needle-in-a-haystack."""
