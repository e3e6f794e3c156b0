"""From a decoded film to clips of frames, audio and text, and to the shards that hold them."""
