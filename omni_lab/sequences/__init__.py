"""From clips to token streams: one neutral list of items that every format, picture and model input is made from."""
