"""From a decoded film to clips of 5 to 15 s."""
