"""Evaluation on the gallery, the synthetic world with known ground truth."""
