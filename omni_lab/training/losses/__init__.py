"""Losses of a step: the objective, its contrastive part, and losses by fact and by sense."""
