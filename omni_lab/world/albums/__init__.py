"""Multi-image and short-video question answering (albums), as documents and as lessons."""
