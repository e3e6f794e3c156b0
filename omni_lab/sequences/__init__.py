"""Sequence construction: omni stream, image formats, tiling, packing, attention masks."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "batch": "IGNORED PAD_KIND Batch collate make_batch",
        "blend": "Blend",
        "documents": "Document Picture as_document",
        "formats": "FORMATS lay_out seen_by Written",
        "items": "KINDS Item Sequence SequenceError",
        "masking": "Strength attention_bias strengths",
        "packing": "Packer best_fit concatenated join",
        "stream": "omni_stream unit_ticks",
        "tiling": "choose grids",
        "tokens": "Tokens tokenize",
        "vocabulary": "UNKNOWN HubVocabulary Vocabulary",
    },
)
