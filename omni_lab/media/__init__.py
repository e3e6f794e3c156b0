"""From any video, audio or subtitle file to frames, samples and cues on one clock."""
