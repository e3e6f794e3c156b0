"""Processors of image-text-to-text models, also where nothing can read videos.

Some processors read images and videos, and the video half needs torchvision. Captions have no
videos: without torchvision such a processor is made of its tokenizer and image processor alone.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from omni_lab.errors import InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, ProcessorMixin


def load_processor(source: str, config: PretrainedConfig) -> ProcessorMixin:
    """Processor of a folder or hub name: image processor, tokenizer, chat template.

    Parameters
    ----------
    config : of the model, which names its processor

    Raises
    ------
    InputError
        what is there reads no images, or no text
    """
    from transformers import AutoProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
    from transformers.utils import is_torchvision_available

    kind = PROCESSOR_MAPPING.get(type(config), None)
    if kind and "video_processor" in kind.get_attributes() and not is_torchvision_available():
        processor = _of_stills(kind, source)
    else:
        processor = AutoProcessor.from_pretrained(source, trust_remote_code=False)
    for part in ("image_processor", "tokenizer"):
        if getattr(processor, part, None) is None:
            wrong = f"{type(processor).__name__} there has no {part}"
            raise InputError(f"{source}: {wrong}; the folder needs all of the processor's files")
    return processor


def _of_stills(kind: type[ProcessorMixin], source: str) -> ProcessorMixin:
    """Processor of a class, made without a video processor."""
    from transformers import AutoImageProcessor, AutoTokenizer

    class Stills(kind):
        def __init__(self, image_processor: Any, tokenizer: Any, **settings: Any) -> None:
            super().__init__(image_processor, tokenizer, video_processor=None, **settings)

    Stills.__name__ = kind.__name__
    images = AutoImageProcessor.from_pretrained(source, trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    saved, _ = kind.get_processor_dict(source)
    known = inspect.signature(kind.__init__).parameters.keys() - set(kind.get_attributes())
    return Stills(images, tokenizer, **{name: saved[name] for name in known & saved.keys()})
