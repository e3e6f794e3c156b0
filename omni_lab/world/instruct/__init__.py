"""Instruction data of the gallery: six tasks as finite datasets, for mixtures by percentages."""
