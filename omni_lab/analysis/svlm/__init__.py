"""Word losses of captions under vision-language models: the basis of SVLM (claim C7)."""
