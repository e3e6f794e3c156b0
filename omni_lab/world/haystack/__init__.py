"""Long rows with needles in them, texts and films, and the lessons that grow a context on them."""
