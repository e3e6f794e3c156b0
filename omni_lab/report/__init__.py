"""Self-contained HTML pages: the run report and its clip player."""
