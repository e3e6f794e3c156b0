"""Any model behind one small interface: ours, and those of Hugging Face."""
