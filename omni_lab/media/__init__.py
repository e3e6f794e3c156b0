"""Media decoding: any video, audio or subtitle file as frames, samples and cues on one clock."""
