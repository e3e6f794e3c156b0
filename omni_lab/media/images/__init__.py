"""Video frames and still images as upright sRGB arrays."""
