"""Voice activity, recognition, word alignment and diarisation."""
