"""Models behind one interface, others' and our own: per-token losses of a text given its images."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "image_text": "ImageTextModel",
        "interface": "Sample TextModel TokenLosses",
        "omni": "OmniTextModel",
        "opening": "open_model open_pair",
    },
)
