"""Tokenizers of the field's kinds, trained in a moment: byte-level BPE, and one after SentencePiece."""


def byte_level(eos="<|endoftext|>"):
    """Byte-level BPE as GPT-2's and Qwen's: it keeps every byte, and a space begins a word."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    core.train_from_iterator(["The cat sat on the mat. It was red and the dog ran."] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=eos)


def sentencepiece(eos="</s>"):
    """BPE after SentencePiece, as Llama 2's: it writes a space before the first word of a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    core.decoder = decoders.Metaspace(prepend_scheme="first")
    lines = ["The cat sat on the mat. It was red\nand the dog ran. image 1 image 2"] * 3
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", "</s>"], show_progress=False
    )
    core.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token=eos, unk_token="<unk>")
