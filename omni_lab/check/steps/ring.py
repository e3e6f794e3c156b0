"""Small exercises of notebook 08: softmax in pieces, and attention over several ranks."""
