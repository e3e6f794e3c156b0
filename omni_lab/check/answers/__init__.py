"""Right answers in several styles: of the long exercises, and of each notebook's small ones."""
