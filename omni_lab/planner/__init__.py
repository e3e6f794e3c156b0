"""Cost of a training step of long contexts, by formula and simulation: time, memory, communication."""
