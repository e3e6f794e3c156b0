"""Small exercises of notebook 01: films on one clock, and where to cut them."""
