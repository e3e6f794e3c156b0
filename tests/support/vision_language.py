"""Tiny random image-text-to-text models in the published layout, with processor and tokenizer."""

import json

import numpy as np
import torch

from omni_lab.adapters.interface import Sample

TEXT = [
    "A red cat sat on the mat, and the dog ran.",
    "Two blue birds: one sings. Was it 1 or 2?",
] * 3
IM = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
WORDS = "{% elif c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}"
QWEN = (
    IM
    + ("{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>" + WORDS)
    + "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAVA = (
    "{% for m in messages %}{{ m['role'] | upper }}: "
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n" + WORDS + "{{ ' ' }}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)  # fmt: skip
IDEFICS = (
    "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}: "
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>" + WORDS
    + "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)  # fmt: skip
DECODER = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 4096, "initializer_range": 0.3,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
CLIP = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip
NORMAL = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_normalize": True, "do_rescale": True}


def noise(height, width, seed=0):
    rng = np.random.default_rng([seed, height, width])
    return rng.integers(0, 255, (height, width, 3)).astype(np.uint8)


SAMPLES = [
    Sample("A red cat 🐈 sat.", (noise(40, 60),)),
    Sample("Two blue birds: one sings.", (noise(90, 30),), "What is there?"),
    Sample("the <b>dog</b>", (noise(30, 30), noise(64, 20))),
    Sample("and the mat"),
    Sample("Was it 1 or 2?", (noise(28, 56), noise(28, 28))),
]


def byte_level(special, size=340):
    """Byte-level BPE with special tokens of its own, as Qwen's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|endoftext|>", *special], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    core.train_from_iterator(TEXT, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )


def pieces(special, across=False):
    """BPE after SentencePiece with a beginning token, as Llama's; or with tokens across words."""
    from tokenizers import (
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    if not across:
        core.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "<unk>", "</s>", *special], show_progress=False,
        initial_alphabet=list("▁\n"),
    )  # fmt: skip
    core.train_from_iterator(TEXT, trainer)
    state = json.loads(core.to_str())
    vocabulary = state["model"]["vocab"]
    for byte in bytes_:
        vocabulary.setdefault(byte, len(vocabulary))
    core = Tokenizer.from_str(json.dumps(state))
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<s>"
    )


def _put(folder, name, data):
    (folder / name).write_text(json.dumps(data))


def _saved(folder, model, tokenizer, images, template, processor=None):
    """The files of a published folder."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():  # biases and norms of their own, as after training
            weight += 0.05 * torch.randn_like(weight)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _put(folder, "preprocessor_config.json", images)
    if processor:
        _put(folder, "processor_config.json", processor)
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def qwen(folder, version="2", template=QWEN, size=340):
    """Qwen2-VL or Qwen2.5-VL."""
    import transformers

    special = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
               "<|image_pad|>", "<|video_pad|>"]  # fmt: skip
    tokenizer = byte_level(special, size)
    ids = dict(zip(("vision_start", "vision_end", "image", "video"), range(3, 7), strict=True))
    vision = {
        "depth": 2,
        "num_heads": 2,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    if version == "2":
        name, vision = "Qwen2VL", vision | {"embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
    else:
        more = {"hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 24,
                "window_size": 56, "fullatt_block_indexes": [1]}  # fmt: skip
        name, vision = "Qwen2_5_VL", vision | more
    text = DECODER | {
        "vocab_size": len(tokenizer) + 4, "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
    }  # fmt: skip
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(
        text_config=text, vision_config=vision, tie_word_embeddings=False,
        **{f"{key}_token_id": value for key, value in ids.items()},
    )  # fmt: skip
    model = getattr(transformers, f"{name}ForConditionalGeneration")(config)
    images = NORMAL | {
        "image_processor_type": "Qwen2VLImageProcessor", "processor_class": f"{name}Processor",
        "min_pixels": 784, "max_pixels": 12_544, "patch_size": 14, "merge_size": 2, "temporal_patch_size": 2,
    }  # fmt: skip
    return _saved(folder, model, tokenizer, images, template)


def llava(folder, template=LLAVA, tokenizer=None):
    """LLaVA 1.5: CLIP, a projector, Llama with a SentencePiece-like tokenizer."""
    import transformers

    tokenizer = tokenizer or pieces(["<image>"])
    image = tokenizer.convert_tokens_to_ids("<image>")
    torch.manual_seed(0)
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**CLIP),
        text_config=transformers.LlamaConfig(vocab_size=len(tokenizer) + 3, **DECODER),
        image_token_index=image, image_token_id=image, vision_feature_layer=-1,
    )  # fmt: skip
    model = transformers.LlavaForConditionalGeneration(config)
    images = NORMAL | {
        "image_processor_type": "CLIPImageProcessor", "processor_class": "LlavaProcessor",
        "crop_size": {"height": 28, "width": 28}, "size": {"shortest_edge": 28},
        "do_center_crop": True, "do_convert_rgb": True, "do_resize": True,
    }  # fmt: skip
    processor = {
        "processor_class": "LlavaProcessor", "patch_size": 14, "image_token": "<image>",
        "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1,
    }  # fmt: skip
    return _saved(folder, model, tokenizer, images, template, processor)


def idefics(folder, template=IDEFICS):
    """Idefics3, whose architecture SmolVLM shares: an image in tiles, rows and columns of them."""
    import transformers

    special = [
        "<|im_start|>",
        "<fake_token_around_image>",
        "<image>",
        "<end_of_utterance>",
        "<global-img>",
    ]
    special += [f"<row_{row + 1}_col_{column + 1}>" for row in range(6) for column in range(6)]
    tokenizer = byte_level(special, 380)
    torch.manual_seed(0)
    config = transformers.Idefics3Config(
        text_config=transformers.LlamaConfig(vocab_size=len(tokenizer) + 3, **DECODER),
        vision_config=CLIP | {"image_size": 28, "patch_size": 7},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"), scale_factor=2,
        tie_word_embeddings=True, pad_token_id=0,
    )  # fmt: skip
    model = transformers.Idefics3ForConditionalGeneration(config)
    images = NORMAL | {
        "image_processor_type": "Idefics3ImageProcessor", "processor_class": "Idefics3Processor",
        "do_convert_rgb": True, "do_image_splitting": True, "do_pad": True, "do_resize": True,
        "max_image_size": {"longest_edge": 28}, "size": {"longest_edge": 56},
    }  # fmt: skip
    processor = {"processor_class": "Idefics3Processor", "image_seq_len": 4}
    return _saved(folder, model, tokenizer, images, template, processor)


FAMILIES = {
    "qwen2-vl": lambda folder: qwen(folder),
    "qwen2.5-vl": lambda folder: qwen(folder, "2.5"),
    "llava": llava,
    "idefics3": idefics,
}
