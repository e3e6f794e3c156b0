"""Which words of captions a vision-language model finds unlikely: the basis of SVLM's selection (claim C7)."""
