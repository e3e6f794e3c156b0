"""Figures of selective training: captions word by word, excess loss, rules beside each other."""
