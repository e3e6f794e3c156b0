"""Small exercises of notebook 07: rotary positions, growing contexts, needles."""
