"""The command `omni-lab`: one file per noun."""
