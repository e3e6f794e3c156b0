"""Command-line interface `omni-lab`: one file per noun."""
