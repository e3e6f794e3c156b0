"""Experiments with criteria written down before looking; each records what came out under results/."""
