"""Self-contained HTML pages: run report and clip player."""
