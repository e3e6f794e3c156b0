"""Plan of a training step: memory and operations against a real decoder, time against its parts."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from omni_lab.config import DecoderConfig, full_7b, override, tiny
from omni_lab.data.batch import TrainingBatch
from omni_lab.errors import UsageError
from omni_lab.model.omni import OmniModel
from omni_lab.parallel.cost import BF16, FLOAT32, attention_flops
from omni_lab.planner.machine import MACHINES, Machine
from omni_lab.planner.memory import (
    LOGIT_OF_ALL,
    layer_matrices,
    memory_per_gpu,
    parameters,
    token_activations,
)
from omni_lab.planner.plan import Task, collective_s, exchange_s, plan_step
from omni_lab.sequences.batch import Batch
from omni_lab.sequences.targets import Targets
from omni_lab.sequences.tokens import TEXT_KIND
from omni_lab.training.losses.objective import Objective

SEVEN = full_7b().model.decoder
SMALL = DecoderConfig(width=64, layers=2, heads=4, kv_heads=2, head_dim=16, mlp=96)
H100 = MACHINES["h100"]


@pytest.fixture(scope="module")
def block():
    """Hugging Face's decoder of the small sizes."""
    from transformers import Qwen2Config, Qwen2Model

    sizes = {
        "num_attention_heads": SMALL.heads,
        "num_key_value_heads": SMALL.kv_heads,
        "head_dim": SMALL.head_dim,
    }
    return Qwen2Model(
        Qwen2Config(
            vocab_size=50,
            hidden_size=SMALL.width,
            intermediate_size=SMALL.mlp,
            num_hidden_layers=2,
            use_cache=False,
            **sizes,
        )
    )


def test_parameters_are_those_of_the_real_module(block):
    assert parameters(SMALL, 50) == sum(weight.numel() for weight in block.parameters())
    # Qwen2.5-7B's own output layer is not tied to the embedding
    assert parameters(SEVEN, 152_064) == 7_615_616_512
    tied = replace(SEVEN, tie_word_embeddings=True)
    assert parameters(tied, 152_064) == 7_615_616_512 - 152_064 * SEVEN.width


def test_operations_are_those_that_torch_counts(block):
    from torch.utils.flop_counter import FlopCounterMode

    tokens = 24
    with FlopCounterMode(display=False) as counter:
        block(
            torch.arange(tokens)[None], position_ids=torch.arange(tokens)[None]
        ).last_hidden_state.sum().backward()
    counted = {str(name): flops for name, flops in counter.get_flop_counts()["Global"].items()}
    matrices = sum(flops for name, flops in counted.items() if name in ("aten.mm", "aten.addmm"))
    assert matrices == 3 * 2 * SMALL.layers * layer_matrices(SMALL) * tokens


def test_activations_are_what_autograd_keeps_of_a_block(block):
    tokens, layer = 32, block.layers[0].to(torch.bfloat16)
    turn = block.rotary_emb(
        torch.zeros(1, tokens, SMALL.width, dtype=torch.bfloat16), torch.arange(tokens)[None]
    )
    others = {part.untyped_storage().data_ptr() for part in (*layer.parameters(), *turn)}
    kept = {}

    def keep(part):
        kept[part.untyped_storage().data_ptr()] = part.untyped_storage()
        return part

    hidden = torch.randn(1, tokens, SMALL.width, dtype=torch.bfloat16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda part: part):
        layer(hidden, position_embeddings=turn, attention_mask=None)
    assert sum(part.nbytes() for place, part in kept.items() if place not in others) == (
        tokens * token_activations(SMALL)
    )


def test_memory_is_sharded_and_recomputing_keeps_only_inputs():
    plain, spared = (
        memory_per_gpu(SEVEN, 152_064, 16_384, 8, 8, "ring", recompute)
        for recompute in (False, True)
    )
    assert plain.weights == plain.optimizer == 8 * parameters(SEVEN, 152_064) // 8
    assert spared.activations == 28 * 16_384 * 3584 * 2 and plain.layer == 0
    assert spared.layer == 16_384 * token_activations(SEVEN)
    assert plain.activations == 28 * spared.layer
    assert memory_per_gpu(SEVEN, 152_064, 4096, 8, 1, "ring", True).buffers == 0
    everything = memory_per_gpu(SEVEN, 152_064, 4096, 8, 8, "allgather", True).buffers
    assert everything == 8 * 4096 * 2 * 4 * 128 * (BF16 + FLOAT32)


def peak(function):
    """Peak of the bytes that torch allocates while a function runs."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        function()
    events = profiled.profiler.kineto_results.events()
    sizes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return int(np.cumsum([size for _, size in sizes]).max())


def words(vocabulary, tokens, supervised):
    """One row of text whose second token and those after it are supervised."""
    ids, place = torch.randint(vocabulary, (1, tokens)), torch.arange(tokens)[None]
    none = torch.zeros(0, dtype=torch.int64)
    return Batch(
        input_ids=ids, kind=torch.full_like(ids, TEXT_KIND), loss_mask=(place > 0) & (place <= supervised),
        unit=ids * 0, document=ids * 0, position=place,
        frames=torch.zeros((0, 2, 48, 48, 3), dtype=torch.uint8), waves=torch.zeros((0, 16_000)),
        seen=none, heard=none, targets=Targets(ids * 0 - 1, ids * 0 - 1, ()),
    )  # fmt: skip


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("supervised", [1.0, 0.25])
def test_the_loss_that_is_planned_is_the_one_that_training_makes(precision, supervised):
    """Peak of a real step of the real objective, where little but the loss takes memory."""
    decoder = {"width": 16, "layers": 1, "heads": 1, "kv_heads": 1, "head_dim": 16, "mlp": 16}
    config = override(tiny(), [f"model.decoder.{name}={size}" for name, size in decoder.items()])
    vocabulary, tokens = 20_000, 256
    model = OmniModel.build(config.model, config.sequence, vocabulary)
    batch = TrainingBatch(words(vocabulary, tokens + 1, int(supervised * tokens)))
    objective = Objective(model, align_units=1)
    weights = {"stream": 1.0, "caption": 0.0, "align": 0.0}

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = objective(batch, weights, (1.0, 1.0))["loss"]
        loss.backward()

    step()  # gradients of the weights are there already
    alone = (tokens, 1, 1, "ring", False)
    planned = memory_per_gpu(config.model.decoder, vocabulary, *alone, supervised)
    copy = vocabulary * 16 * BF16 if precision == "bf16" else 0  # of the weights, by autocast
    used = peak(step) / (planned.loss + planned.activations + copy)
    assert 0.85 < used <= 1.01, "the plan counts what may be there at once"


def test_the_peak_is_of_the_loss_or_of_a_layer_whichever_is_larger():
    for vocabulary in (1_000_000, 1000):
        memory = memory_per_gpu(SEVEN, vocabulary, 16_384, 8, 8, "ring", True)
        held = memory.weights + memory.optimizer + memory.gathered + memory.activations
        moments = (memory.loss, memory.layer + memory.buffers)
        assert memory.total == held + max(moments)
        assert (moments[0] > moments[1]) is (vocabulary > 1000)


# GiB at the peak of a step, as others measured it, and the sizes of their decoders
QWEN3_4B = DecoderConfig(width=2560, layers=36, heads=32, kv_heads=8, head_dim=128, mlp=9728)
LLAMA_8B = DecoderConfig(
    width=4096, layers=32, heads=32, kv_heads=8, head_dim=128, mlp=14_336, tie_word_embeddings=False
)


@pytest.mark.parametrize(
    ("decoder", "vocabulary", "tokens", "published", "all_logits"),
    [
        (QWEN3_4B, 151_936, 16_384, 54.6, True),  # prime-rl, supervised fine-tuning
        (QWEN3_4B, 151_936, 16_384, 17.1, False),  # and reinforcement learning, logits in pieces
        (QWEN3_4B, 151_936, 65_536, 36.1, False),
        (LLAMA_8B, 128_256, 32_768, 84.2, True),  # torchtitan, so many tokens on every GPU
    ],
)
def test_planned_peaks_are_near_published_ones(decoder, vocabulary, tokens, published, all_logits):
    memory = memory_per_gpu(decoder, vocabulary, tokens, 8, 1, "ring", True)
    if all_logits:  # as they make them, and we do not
        memory = memory._replace(loss=LOGIT_OF_ALL * vocabulary * tokens)
    assert 0.7 < memory.total / 2**30 / published < 1.1


def test_a_step_without_communication_takes_its_operations_alone():
    ideal = replace(
        H100, nvlink=1e30, network=1e30, latency_s=0.0, matmul_use=1.0, attention_use=1.0
    )
    tokens, vocabulary = 65_536, 1000
    matrices = 6 * (SEVEN.layers * layer_matrices(SEVEN) + vocabulary * SEVEN.width) * tokens
    attention = SEVEN.layers * attention_flops(
        tokens * (tokens + 1) // 2, SEVEN.heads, SEVEN.head_dim
    )
    # recomputing runs every layer forward once more, but not the output layer
    forward = 2 * SEVEN.layers * layer_matrices(SEVEN) * tokens + attention
    for recompute, again in ((False, 0), (True, forward)):
        for engine, ranks in (("ring", 8), ("allgather", 8), ("ulysses", 4)):
            step = plan_step(
                Task(SEVEN, vocabulary, tokens, ranks, ranks, engine, recompute=recompute), ideal
            )
            logits = 2 * vocabulary * SEVEN.width * tokens  # made once more in backward
            done = matrices + logits + 3.5 * attention + again
            assert step["work_s"] == pytest.approx(done / ranks / ideal.peak_flops)
            assert step["step_s"] == pytest.approx(step["work_s"], rel=1e-4)
            assert step["mfu"] == pytest.approx((matrices + 3 * attention) / done, rel=1e-4)
            assert step["tokens_per_s"] == pytest.approx(tokens / ranks / step["step_s"])


def test_collectives_use_every_card_of_a_node_and_a_ring_but_one():
    machine = replace(H100, latency_s=0.0)
    assert collective_s(8e9, 8, machine) == pytest.approx(7e9 / 450e9)
    assert collective_s(8e9, 16, machine) == pytest.approx(max(7.5e9 / 450e9, 4e9 / (8 * 50e9)))
    assert collective_s(8e9, 1, machine) == exchange_s(8e9, 1, machine) == 0
    assert exchange_s(15e9, 16, machine) == pytest.approx(8e9 / 50e9)
    assert exchange_s(7e9, 8, machine) == pytest.approx(7e9 / 450e9)
    assert collective_s(0, 16, H100) == pytest.approx(8 * H100.latency_s)


def test_weights_travel_three_times_and_hide_behind_what_is_computed():
    task = Task(SEVEN, 152_064, 32_768, 16, 1, recompute=False)
    machine = replace(H100, latency_s=0.0)
    whole = parameters(SEVEN, 152_064)
    gather, scatter = (collective_s(whole * size, 16, machine) for size in (BF16, FLOAT32))
    exposed = plan_step(task, replace(machine, peak_flops=1e30))["exposed_weights_s"]
    assert exposed == pytest.approx(2 * gather + scatter)

    # forward of all layers; backward takes more than twice as long, and hides part of the rest
    forward_s = 0.4 * gather
    attention = attention_flops(32_768 * 32_769 // 2, SEVEN.heads, SEVEN.head_dim)
    layers = SEVEN.layers * np.array([2 * layer_matrices(SEVEN) * 32_768, attention])
    fast = replace(machine, peak_flops=layers.sum() / forward_s, matmul_use=1.0, attention_use=1.0)
    backward_s = layers @ [2, 2.5] / fast.peak_flops
    assert 0 < backward_s < gather + scatter

    left = gather - forward_s + gather + scatter - backward_s
    assert plan_step(task, fast)["exposed_weights_s"] == pytest.approx(left)
    assert plan_step(task, machine)["exposed_weights_s"] == 0


def test_each_choice_of_a_plan_changes_time_and_memory_as_it_should():
    task = Task(SEVEN, 152_064, 131_072, 64, 64)
    plans = {
        "base": task,
        "few": replace(task, supervised=0.1),
        "kept": replace(task, recompute=False),
        "groups": replace(task, ranks=8),
        "contiguous": replace(task, layout="contiguous"),
        "gathered": replace(task, engine="allgather"),
    }
    steps = {name: plan_step(task, H100) for name, task in plans.items()}

    for step in steps.values():
        parts = ("work_s", "waiting_s", "exposed_attention_s", "exposed_weights_s")
        assert step["step_s"] == pytest.approx(sum(step[part] for part in parts))
        assert 0 < step["mfu"] < 1 and step["fits"]

    assert steps["few"]["work_s"] < steps["base"]["work_s"]
    assert steps["kept"]["work_s"] < steps["base"]["work_s"]
    assert steps["kept"]["memory"]["activations"] > steps["base"]["memory"]["activations"]
    assert steps["groups"]["hides"] and steps["groups"]["mfu"] > steps["base"]["mfu"]
    assert steps["contiguous"]["waiting_s"] > 0.5 * steps["contiguous"]["exposed_attention_s"]
    assert steps["gathered"]["sent"]["forward"] == steps["base"]["sent"]["forward"]
    # a gather uses eight network cards, the ring one
    exposed = {name: step["exposed_attention_s"] for name, step in steps.items()}
    assert exposed["gathered"] < exposed["base"]


def test_longer_contexts_hide_more():
    exposed = [
        step["exposed_attention_s"] / step["step_s"]
        for tokens in (65_536, 131_072, 262_144, 524_288)
        for step in [plan_step(Task(SEVEN, 152_064, tokens, 64, 64), H100)]
    ]
    assert all(more > less for more, less in pairwise(exposed))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": -1.0}, "network must be above 0"),
        ({"nvlink": 0.0}, "nvlink must be above 0"),
        ({"latency_s": -1e-6}, "latency_s must be 0 or more"),
        ({"attention_use": 1.01}, "attention_use must be above 0 and at most 1"),
        ({"peak_flops": float("nan")}, "peak_flops must be above 0"),
        ({"memory": float("inf")}, "memory must be above 0"),
    ],
)
def test_an_impossible_machine_is_refused(change, message):
    with pytest.raises(UsageError, match=f"^{message}$"):
        replace(H100, **change)


def test_a_machine_may_have_no_latency_and_no_reserve():
    assert (
        Machine("ideal", 1.0, 1.0, 1.0, 1.0, latency_s=0, reserve=0, matmul_use=1).matmul_use == 1
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": "flash"}, "engine 'flash': there are ring, ulysses, allgather"),
        ({"ranks": 3}, "8 GPUs do not divide into groups of 3 ranks: take a .* that divides 8"),
        ({"supervised": -0.1}, "supervised = -0.1 is impossible"),
        ({"vocabulary": 0}, "vocabulary = 0 is impossible"),
        ({"decoder": SEVEN, "engine": "ulysses"}, "Ulysses over 8 ranks"),
    ],
)
def test_an_impossible_task_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        Task(
            **{"decoder": SMALL, "vocabulary": 100, "tokens": 1024, "gpus": 8, "ranks": 8, **change}
        )


def test_sequences_that_straddle_nodes_are_refused():
    with pytest.raises(UsageError, match="divisors or multiples of 8"):
        plan_step(Task(SMALL, 100, 1200, 24, 12), H100)
    assert plan_step(Task(SMALL, 100, 1200, 12, 12), H100)["ranks"] == 12
