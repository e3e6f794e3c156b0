"""From files and folders to shards: workers, quality, duplicates, reports."""
