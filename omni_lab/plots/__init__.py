"""Pictures and the report: from arrays, records and dicts to figures that a notebook shows and a page carries."""
