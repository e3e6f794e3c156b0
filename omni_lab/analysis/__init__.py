"""What happens inside: loss phases, and where attention goes."""
