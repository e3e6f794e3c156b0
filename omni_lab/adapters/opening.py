"""Opening of a model by its path: our run folder, a Hugging Face model, or a PEFT adapter on one.

A model and an adapter on it are loaded once: the adapter is switched off where the base is asked.
Weights are read from safetensors alone, and no code of a model's folder is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_lab.adapters.interface import TextModel
from omni_lab.errors import InputError, typed
from omni_lab.model.contents import digest_of, digest_of_weights
from omni_lab.model.loading import adapt, base_of, check_device, file_of, load_base, rows_of
from omni_lab.progress import library_bars_off

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

ADAPTER_WEIGHTS = "adapter_model.safetensors"
PROCESSORS = ("processor_config.json", "preprocessor_config.json")


def open_model(source: str, device: str | None = None, dtype: str = "auto") -> TextModel:
    """Model of a path or hub name.

    Parameters
    ----------
    source : run folder of omni-lab; or folder or hub name of an image-text-to-text model; or of a
        PEFT adapter on either (extra `real`)
    device : such as "cpu" or "cuda"; None is a GPU where there is one, "auto" splits the model
        over all devices
    dtype : of weights and arithmetic; "auto" is that of the stored weights

    Raises
    ------
    InputError
        there is no such model, it sees no images, or it fails to load whole
    UsageError
        the device does not exist, or peft is not installed
    """
    return open_pair(source, None, device, dtype)[0]


def open_pair(
    reference: str, trainee: str | None, device: str | None = None, dtype: str = "auto"
) -> tuple[TextModel, TextModel | None]:
    """Reference and trainee; where one is the other with an adapter, they share their weights.

    Raises
    ------
    InputError, UsageError
        as `open_model`
    """
    device = device or _best()
    check_device(device)
    if trainee is None:
        return _opened(reference, device, dtype)[0], None

    bases = {source: None if _is_run(source) else _base(source) for source in (reference, trainee)}
    for base, adapter in ((reference, trainee), (trainee, reference)):
        # of our own runs the adapter is another model in memory: they are small
        if bases[adapter] and not _is_run(base) and _same(bases[adapter], base):
            adapted, alone = _opened(adapter, device, dtype)
            alone = alone or _opened(base, device, dtype)[0]
            return (alone, adapted) if base == reference else (adapted, alone)
    first = _opened(reference, device, dtype)[0]
    return first, first if _same(reference, trainee) else _opened(trainee, device, dtype)[0]


def _opened(source: str, device: str, dtype: str) -> tuple[TextModel, TextModel | None]:
    """Model of a source; of an adapter also its base, where that is the same without it."""
    run = source if _is_run(source) else _base(source)
    if run and _is_run(run):
        from omni_lab.adapters.omni import OmniTextModel

        adapter = None if run == source else source
        return OmniTextModel.load(run, _best() if device == "auto" else device, adapter), None

    from omni_lab.adapters.image_text import ImageTextModel
    from omni_lab.adapters.processors import load_processor

    base = _base(source)
    named = f"{source}, {dtype}" if dtype != "auto" else source
    with typed(f"{source}: failed to load"), library_bars_off():
        model = _loaded(base or source, device, dtype)
        weights, rows = digest_of_weights(model), rows_of(model)
        adapter: PeftModel | None = None
        if base:
            if not file_of(source, ADAPTER_WEIGHTS):
                raise InputError(f"{source}: has no {ADAPTER_WEIGHTS}; save it as safetensors")
            adapter = adapt(model, source)
            model = adapter.get_base_model()
        own = base is None or any(file_of(source, name) for name in PROCESSORS)
        processor = load_processor(source if own else base, model.config)
    if adapter is None:
        return ImageTextModel(model, processor, named, weights), None

    with_adapter = digest_of([weights, digest_of_weights(model)])
    adapted = ImageTextModel(model, processor, named, with_adapter)
    if rows_of(model) != rows:  # rows added to the base stay there when the adapter is off
        return adapted, None
    processor = load_processor(base, model.config)
    named = f"{base}, {dtype}" if dtype != "auto" else base
    return adapted, ImageTextModel(model, processor, named, weights, switched_off=adapter)


def _loaded(source: str, device: str, dtype: str) -> PreTrainedModel:
    """Image-text-to-text model, whole."""
    from transformers import AutoConfig, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        wrong = f"a {config.model_type} model, which does not read images and text"
        raise InputError(f"{source}: {wrong}; name an image-text-to-text model")
    options: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False}
    return load_base(source, AutoModelForImageTextToText, device, dtype, **options)


def _base(source: str) -> str | None:
    with typed(f"{source}: failed to load"):
        return base_of(source)


def _is_run(source: str) -> bool:
    return (Path(source) / "checkpoints").is_dir()


def _same(one: str, other: str) -> bool:
    """Whether two names are of one model: equal, or paths to one folder."""
    return one == other or (
        Path(one).is_dir() and Path(other).is_dir() and Path(one).samefile(other)
    )


def _best() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
