"""What the model's attention may be, and where it goes."""
