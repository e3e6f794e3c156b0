"""Voice activity detection, speech recognition, forced alignment and speaker diarisation."""
