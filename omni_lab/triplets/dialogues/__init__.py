"""Role-play dialogues: speaker roles, turns, and exports as chat messages or OBELICS rows."""
