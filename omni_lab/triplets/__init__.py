"""Triplets of frames, audio and text: cut from decoded films, filtered, written as shards."""
