"""Albums of several pictures and short videos, as documents and as lessons."""
