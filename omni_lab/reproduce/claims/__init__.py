"""Claims of the two articles this project goes back to, and the page `docs/claims.md` on them."""
