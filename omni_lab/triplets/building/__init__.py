"""Dataset building: worker processes, quality filters, near-duplicates, reports."""
