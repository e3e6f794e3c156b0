"""Small random causal models, and tokenizers of every sort trained on a few lines, for tests of what reads them."""

from itertools import islice

import torch

from omni_lab.evaluation.needles.passage import TOWNS
from omni_lab.evaluation.needles.prose import sentences


def trained(kind):
    """A tokenizer of every sort there is, trained on a few lines of the gallery."""
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

    told = [" ".join(islice(sentences(seed), 30)) for seed in range(20)]
    asked = f"\n\nQuestion: Which number belongs to {' '.join(TOWNS)}?\nAnswer: The number that belongs to it is "
    lines = [
        text + asked + str(number)
        for text, number in zip(told, range(1000, 10_000, 450), strict=True)
    ]
    if kind in (
        "pieces",
        "prefixed",
    ):  # as sentencepiece has them: ▁ for a space, also before the first word
        core = Tokenizer(models.Unigram())
        core.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        core.pre_tokenizer = (
            None if kind == "prefixed" else pre_tokenizers.Split("▁", "merged_with_next")
        )
        core.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        trainer = trainers.UnigramTrainer(
            vocab_size=500,
            special_tokens=["<s>", "<unk>"],
            unk_token="<unk>",
            initial_alphabet=[*"0123456789▁\n"],
        )
    else:
        core = Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=kind != "across"
        )
        core.decoder = decoders.ByteLevel()
        size = 260 if kind == "letters" else 600
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=["<s>"], initial_alphabet=alphabet
        )
    core.train_from_iterator(lines, trainer)
    if kind in ("marked", "pieces"):
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    unknown = {"unk_token": "<unk>"} if kind in ("pieces", "prefixed") else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", model_max_length=64, **unknown
    )


def small_model(family, rows):
    """A random model of a few thousand weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    names = {"gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128}}
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    }
    sizes |= {"max_position_embeddings": 128} | (
        {} if family == "gpt_neox" else {"num_key_value_heads": 1}
    )
    torch.manual_seed(0)
    settings = {
        "initializer_range": 0.5,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "tie_word_embeddings": False,
    }
    return AutoModelForCausalLM.from_config(
        AutoConfig.for_model(family, vocab_size=rows, **settings, **names.get(family, sizes))
    ).eval()
