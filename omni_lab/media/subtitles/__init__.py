"""Subtitle parsing: any format and any text encoding, as timed cues."""
