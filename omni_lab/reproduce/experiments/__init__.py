"""Experiments, one file each: claim, command, criteria, arms."""
