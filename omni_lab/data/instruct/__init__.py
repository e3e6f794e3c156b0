"""Instruction mixture: parts of equal mix by percentages, saved sample by sample, trained on."""
