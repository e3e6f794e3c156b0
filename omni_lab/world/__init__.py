"""The gallery: a seeded script is the truth; pixels, sound and subtitles are rendered from it."""
