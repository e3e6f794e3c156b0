"""Memory of one GPU while a decoder trains on a long context, in bytes by purpose.

Weights, optimizer states, activations, attention buffers, the loss. The decoder is the project's:
gated feed-forward, grouped K/V heads with biases on q, k and v, an output layer that is tied to the
embedding or not. Logits are counted as training makes them, a piece at a time.
Weights, gradients and optimizer states are sharded over all GPUs (ZeRO stage 3, Rajbhandari et al.
2020; FSDP in PyTorch), tokens over the ranks of one sequence. Image and audio encoders are not
counted.

Glossary: T tokens · W ranks · t tokens per rank · D width · V vocabulary · H query heads
· G key/value heads · K head width · L layers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from omni_lab.config import DecoderConfig
from omni_lab.parallel.cost import BF16, FLOAT32, PIECE, ulysses_heads

# bytes of a logit of the piece at hand at its peak, whatever the matrix products' precision: itself
# and its probability in float32; where one piece is all, its two gradients beside its probability
LOGIT, LOGIT_OF_ALL = 2 * FLOAT32, 3 * FLOAT32


class Memory(NamedTuple):
    """Memory of one GPU, in bytes by purpose, each at its own peak."""

    weights: int  # its shard of the weights and their gradients, in float32
    optimizer: int  # its shard of Adam's two moments, in float32
    gathered: int  # whole weights and gradients of the layers in use, in bf16
    activations: int  # kept of all layers from forward for backward
    layer: int  # all activations of the one layer that has run forward again
    buffers: int  # of attention across ranks, besides the rank's own keys and values
    loss: int  # a piece of logits; the gradient of the output layer, which pieces add to

    @property
    def working(self) -> int:
        """What lives for a moment: the loss is done before the backward of a layer begins."""
        return max(self.layer + self.buffers, self.loss)

    @property
    def total(self) -> int:
        """Peak of a step, in bytes."""
        return self.weights + self.optimizer + self.gathered + self.activations + self.working


def layer_matrices(decoder: DecoderConfig) -> int:
    """Weights in the matrices of one decoder layer: q, k, v, o, gate, up, down.

    Per token, each takes two operations forward and four backward (Kaplan et al. 2020).
    """
    heads = 2 * decoder.heads + 2 * decoder.kv_heads
    return decoder.width * (heads * decoder.head_dim + 3 * decoder.mlp)


def parameters(decoder: DecoderConfig, vocabulary: int) -> int:
    """Parameter count of the decoder, embedding and output layer included.

    >>> from omni_lab.config import full_7b
    >>> parameters(full_7b().model.decoder, 152_064)  # Qwen2.5-7B's
    7615616512
    """
    biases = (decoder.heads + 2 * decoder.kv_heads) * decoder.head_dim
    layer = layer_matrices(decoder) + biases + 2 * decoder.width
    return decoder.layers * layer + decoder.width + word_matrices(decoder, vocabulary)


def word_matrices(decoder: DecoderConfig, vocabulary: int) -> int:
    """Weights of the embedding and of the output layer, which are one where they are tied."""
    return (1 if decoder.tie_word_embeddings else 2) * vocabulary * decoder.width


def loss_memory(supervised_tokens: int, vocabulary: int, width: int) -> int:
    """Memory of the loss of a GPU's supervised tokens at its peak, in bytes.

    Logits of a piece; the gradient of the output layer in float32, and what a piece adds to it in
    bf16; the last hidden states of these tokens with their gradients. All logits at once would be
    27 GiB here:

    >>> loss_memory(16_384, 152_064, 3584) / 2**30  # doctest: +ELLIPSIS
    3.29...
    """
    rows = max(1, PIECE // vocabulary)
    size = LOGIT_OF_ALL if supervised_tokens <= rows else LOGIT
    gradient = vocabulary * width * (FLOAT32 + BF16)
    piece = min(rows, supervised_tokens) * vocabulary * size
    return piece + gradient + 2 * supervised_tokens * width * BF16


def token_activations(decoder: DecoderConfig) -> int:
    """Activation memory of one layer without recomputing, in bytes per token.

    Counted as in Korthikanti et al. 2022, for Hugging Face's Qwen2 layer in bf16: both norms keep
    their input in float32, the normed and the scaled one; then q, k, v, the attention's output with
    its log-sum-exp (flash attention keeps no scores), gate, its activation, up, and their product.
    Fused norms and gates would keep less.
    """
    norms = 2 * (decoder.width * (FLOAT32 + 2 * BF16) + FLOAT32)
    heads = 2 * decoder.heads + 2 * decoder.kv_heads
    attention = heads * decoder.head_dim * BF16 + decoder.heads * FLOAT32
    return norms + attention + 4 * decoder.mlp * BF16


def attention_buffers(decoder: DecoderConfig, shard_tokens: int, ranks: int, engine: str) -> int:
    """Buffers of context-parallel attention in the one layer in use, in bytes.

    Besides the rank's own q, k, v and output. `ring`: K and V in use and arriving, their gradients
    likewise, the output or dQ accumulated in float32. `allgather`: all keys and values, and their
    gradients before they are reduced. `ulysses`: q, k, v and the output of its heads over all
    tokens, and their gradients.
    """
    if ranks == 1:
        return 0
    keys = 2 * shard_tokens * decoder.kv_heads * decoder.head_dim
    if engine == "ring":
        accumulated = shard_tokens * decoder.heads * decoder.head_dim * FLOAT32
        return 2 * keys * (BF16 + FLOAT32) + accumulated
    if engine == "allgather":
        return ranks * keys * (BF16 + FLOAT32)
    heads, kv_heads = ulysses_heads(ranks, decoder.heads, decoder.kv_heads)
    return 2 * BF16 * (2 * heads + 2 * kv_heads) * ranks * shard_tokens * decoder.head_dim


def memory_per_gpu(
    decoder: DecoderConfig,
    vocabulary: int,
    shard_tokens: int,
    gpus: int,
    ranks: int,
    engine: str,
    recompute: bool,
    supervised: float = 1.0,
) -> Memory:
    """Memory of one of `gpus` GPUs where `ranks` of them hold one sequence, in bytes.

    `recompute` is activation checkpointing: a layer keeps only its input and runs forward again
    before its backward (Chen et al. 2016); one layer at a time then has all its activations.
    `supervised` is the fraction of tokens with a loss.
    """
    count = parameters(decoder, vocabulary)
    # two layers, since the next is gathered while one computes
    whole = min(2, decoder.layers) * layer_matrices(decoder) + word_matrices(decoder, vocabulary)
    full = token_activations(decoder) * shard_tokens
    kept = BF16 * decoder.width * shard_tokens
    return Memory(
        weights=-(-count // gpus) * 2 * FLOAT32,
        optimizer=-(-count // gpus) * 2 * FLOAT32,
        gathered=whole * 2 * BF16,
        activations=decoder.layers * (kept if recompute else full),
        layer=full if recompute else 0,
        buffers=attention_buffers(decoder, shard_tokens, ranks, engine),
        loss=loss_memory(math.ceil(supervised * shard_tokens), vocabulary, decoder.width),
    )
