"""One file per experiment: claim, command, criteria, arms."""
