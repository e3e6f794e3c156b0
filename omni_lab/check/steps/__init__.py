"""Small fill-in exercises of the notebooks, one file for each notebook."""
