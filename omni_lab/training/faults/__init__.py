"""Faults of training: steps that give no number, damaged checkpoints, full disks, batches run again."""
