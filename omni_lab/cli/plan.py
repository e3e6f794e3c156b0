"""`omni-lab plan`: time, memory and communication of a long-context training step, as a table.

It answers before any GPU is rented: everything is computed on paper and by simulation.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from omni_lab.cli.commands import add_json, add_settings, answer, command, configured, count
from omni_lab.config.types import CHUNKS, PLANNED_ENGINES
from omni_lab.planner.machine import MACHINES, Machine

EXAMPLES = """omni-lab plan --tokens 131072 524288 --figure plan.png
  omni-lab plan --tokens 131072 --gpus 8 64 --gpu h800 --network 25
  omni-lab plan --tokens 131072 --gpus 32 --ranks 4 --engine ulysses"""
GIGA, GIB = 1e9, 2**30
NUMBERS = {  # option → the machine's field, one of its units, and its help line
    "--peak": ("peak_flops", 1e12, "dense bf16 compute in TFLOP/s"),
    "--memory": ("memory", GIB, "GPU memory in GiB"),
    "--nvlink": ("nvlink", GIGA, "NVLink bandwidth in GB/s, per GPU, one direction"),
    "--network": ("network", GIGA, "network bandwidth in GB/s, per GPU, one direction"),
    "--latency": ("latency_s", 1e-6, "latency in µs until a message's first byte arrives"),
    "--matmul-use": ("matmul_use", 1, "fraction of the peak that matrix products reach"),
    "--attention-use": ("attention_use", 1, "fraction of the peak that attention reaches"),
    "--reserve": ("reserve", GIB, "memory in GiB for driver and communication"),
}
LEGEND = (
    "CP: context-parallel size, GPUs per sequence; tokens: on each GPU; wait: for busier ranks;",
    "attn, weights: exposed communication; other: gathered weights, and the loss or one layer;",
    "all: peak of a step; tokens/s: per GPU; MFU: model FLOPs utilization",
)


def add_plan(commands: Any) -> None:
    """Command-line parser of `omni-lab plan`."""
    message = "time, memory and communication of a long-context training step, on paper"
    parser = command(commands, "plan", message, EXAMPLES, plan)
    _add_task(parser)
    _add_machine(parser)
    message = "picture to write (.png, .pdf, .svg)"
    parser.add_argument("--figure", type=Path, metavar="FILE", help=message)
    add_settings(parser)
    add_json(parser)


def _add_task(parser: argparse.ArgumentParser) -> None:
    """Options of the model, its sequences, and their sharding over GPUs."""
    numbers = {"type": count, "metavar": "N"}
    many = {**numbers, "nargs": "+"}
    message = "sequence lengths in tokens (default: 131072 524288)"
    parser.add_argument("--tokens", **many, default=[131_072, 524_288], help=message)
    gpus = [8, 16, 32, 64, 128, 256, 512]
    message = "numbers of GPUs in all (default: 8 to 512)"
    parser.add_argument("--gpus", **many, default=gpus, help=message)

    # sharding of one sequence
    message = "context-parallel size: GPUs that hold one sequence together (default: all of them)"
    parser.add_argument("--ranks", **numbers, help=message)
    message = "context-parallel attention engine (default: %(default)s)"
    parser.add_argument("--engine", choices=PLANNED_ENGINES, default="ring", help=message)
    message = "layout of a sequence's tokens over its ranks (default: %(default)s)"
    parser.add_argument("--layout", choices=CHUNKS, default="zigzag", help=message)

    # the model and its training
    message = "activation checkpointing: layers run forward again before backward (default: yes)"
    yes_or_no = {"action": argparse.BooleanOptionalAction, "default": True}
    parser.add_argument("--recompute", **yes_or_no, help=message)
    message = "fraction of tokens with a loss: only these meet the output layer (default: 1.0)"
    parser.add_argument("--supervised", type=float, default=1.0, metavar="FRACTION", help=message)
    message = "preset of the decoder: tiny, small or full_7b (default: %(default)s)"
    parser.add_argument("--preset", default="full_7b", help=message)
    message = "vocabulary size of the decoder (default: %(default)s, Qwen2.5-7B's)"
    parser.add_argument("--vocabulary", **numbers, default=152_064, help=message)


def _add_machine(parser: argparse.ArgumentParser) -> None:
    """Options of the machine: a preset, and numbers in place of its own."""
    title, message = "the machine", "a GPU preset, and numbers that replace its own"
    machine = parser.add_argument_group(title, message)
    message = "GPU preset (default: %(default)s)"
    machine.add_argument("--gpu", choices=MACHINES, default="h100", help=message)
    for option, (_, _, message) in NUMBERS.items():
        machine.add_argument(option, type=float, metavar="X", help=message)
    machine.add_argument("--node", type=count, metavar="N", help="GPUs per node")


def plan(arguments: argparse.Namespace) -> None:
    """`omni-lab plan`: a table per sequence length, with where communication stops hiding."""
    config = configured(arguments.preset, arguments.settings)
    machine = _machine(arguments)
    record = _record(arguments, config, machine)
    text = _written(record)

    # matplotlib is imported only where a picture is asked for
    if arguments.figure:
        from omni_lab.plots.style import save
        from omni_lab.plots.systems.plan import draw_plan

        save(draw_plan(record), arguments.figure)
        text += f"\n\npicture: {arguments.figure}"
        record["picture"] = str(arguments.figure)
    answer(arguments, record, text)


def _record(arguments: argparse.Namespace, config: Any, machine: Machine) -> dict[str, Any]:
    """Plans of all lengths and numbers of GPUs, and what they assume, as `--json` prints them."""
    from omni_lab.planner.memory import parameters
    from omni_lab.planner.plan import Task, crossings, most_ranks, plan_step

    decoder, vocabulary = config.model.decoder, arguments.vocabulary
    how = {
        name: getattr(arguments, name) for name in ("engine", "layout", "recompute", "supervised")
    }
    plans = [
        plan_step(Task(decoder, vocabulary, tokens, gpus, arguments.ranks or gpus, **how), machine)
        for tokens in arguments.tokens
        for gpus in arguments.gpus
    ]

    # only a ring communicates during attention, so only a ring has a crossing
    found = crossings(decoder, arguments.layout, machine) if arguments.engine == "ring" else {}
    most = {str(tokens): most_ranks(tokens, found, machine) for tokens in arguments.tokens if found}
    return {
        "preset": config.name,
        "decoder": {**asdict(decoder), "vocabulary": vocabulary},
        "parameters": parameters(decoder, vocabulary),
        "machine": asdict(machine),
        **how,
        "hides_from": found,
        "most_ranks": most,
        "plans": plans,
    }


def _machine(arguments: argparse.Namespace) -> Machine:
    """Machine preset with the numbers from the command line in place of its own."""
    given = {
        field: scale * value
        for option, (field, scale, _) in NUMBERS.items()
        if (value := getattr(arguments, option[2:].replace("-", "_"))) is not None
    }
    node = {} if arguments.node is None else {"node": arguments.node}
    return replace(MACHINES[arguments.gpu], **given, **node)


def _written(record: dict[str, Any]) -> str:
    """Text of a plan: its assumptions first, then a table per sequence length."""
    lines = [*_assumptions(record), *_crossings(record)]
    for tokens in dict.fromkeys(plan["tokens"] for plan in record["plans"]):
        most, hides = record["most_ranks"].get(str(tokens)), ""
        if most is not None:
            hides = f": communication hides up to {most} GPU{'s' * (most > 1)} per sequence"
        table = _table([plan for plan in record["plans"] if plan["tokens"] == tokens])
        lines += ["", f"{tokens:,} tokens{hides}", *table]
    return "\n".join([*lines, "", *LEGEND])


def _assumptions(record: dict[str, Any]) -> list[str]:
    """Model, machine, fractions of the peak, sharding and memory, one line each."""
    from omni_lab.parallel.cost import PIECE
    from omni_lab.planner.memory import LOGIT

    decoder, machine = record["decoder"], record["machine"]
    heads = f"{decoder['heads']} query and {decoder['kv_heads']} K/V heads of {decoder['head_dim']}"
    sizes = f"{decoder['layers']} layers, width {decoder['width']}, {heads}"
    output = "tied to it" if decoder["tie_word_embeddings"] else "of its own"
    words = f"vocabulary {decoder['vocabulary']:,}, output layer {output}"
    total = f"{words}: {record['parameters'] / 1e9:.2f} B parameters"

    gpu = f"{machine['peak_flops'] / 1e12:g} TFLOP/s, {machine['memory'] / GIB:g} GiB"
    nvlink = f"NVLink {machine['nvlink'] / GIGA:g} GB/s in nodes of {machine['node']}"
    network = f"network {machine['network'] / GIGA:g} GB/s"
    links = f"{nvlink}, {network}, {machine['latency_s'] * 1e6:g} µs a message"

    matmul, attention = machine["matmul_use"], machine["attention_use"]
    reached = f"matrix products reach {matmul:g} of the peak, attention {attention:g}"
    free = f"{machine['reserve'] / GIB:g} GiB are kept free"

    again = "layers run forward twice" if record["recompute"] else "all activations are kept"
    loss = f"loss on {record['supervised']:.0%} of tokens"
    return [
        f"model    decoder of {record['preset']}: {sizes}, {total}",
        f"machine  {machine['name']}: {gpu}; one direction, per GPU: {links}",
        f"assumed  {reached}; {free}; encoders and optimizer step cost nothing",
        f"engine   {record['engine']}, {record['layout']}, {again}, {loss}; "
        "weights sharded over all GPUs",
        f"memory   loss in pieces of {PIECE:,} logits, {LOGIT} bytes each with their gradients, as "
        "`omni-lab train` makes them",
        *_beyond(record),
    ]


def _beyond(record: dict[str, Any]) -> list[str]:
    """What saves memory in the plan and is not in the trainer."""
    sharded = any(plan["gpus"] > 1 for plan in record["plans"])
    saved = ["weights sharded"] * sharded + ["layers run forward twice"] * record["recompute"]
    return [f"beyond   what `omni-lab train` does: {', '.join(saved)}"] if saved else []


def _crossings(record: dict[str, Any]) -> list[str]:
    """Tokens per GPU from which communication hides, one line per link."""
    if not record["hides_from"]:
        when = "communicates before and after attention, not during it"
        return [f"hides    nothing: {record['engine']} {when}"]
    lines = []
    for link, found in record["hides_from"].items():
        paper = f" (on paper {found['formula']:,.0f})" if "formula" in found else ""
        least = found["simulated"]
        where = f"from {least:,} tokens per GPU on{paper}" if least else "never"
        lines.append(f"hides    over {link}: {where}")
    return lines


def _table(plans: list[dict[str, Any]]) -> list[str]:
    """Table with a row per number of GPUs: seconds of a step, GiB of a GPU, speed."""
    lines = [
        f"{'':18} |{'seconds of a step':^40} |{'GiB of a GPU':^36} |",
        f"{'GPUs':>5}{'CP':>6}{'tokens':>7} "
        f"|{'step':>8}{'work':>8}{'wait':>8}{'attn':>8}{'weights':>8} "
        f"|{'weights':>8}{'optim':>7}{'activ':>7}{'other':>7}{'all':>7} "
        "| fits hides tokens/s  MFU",
    ]
    times = ("step", "work", "waiting", "exposed_attention", "exposed_weights")
    for plan in plans:
        memory = {name: size / GIB for name, size in plan["memory"].items()}
        memory["other"] = memory["gathered"] + memory["working"]
        seconds = "".join(f"{plan[f'{name}_s']:>8.3f}" for name in times)
        held = "".join(
            f"{memory[name]:>7.1f}" for name in ("optimizer", "activations", "other", "total")
        )

        yes = "".join(f"{'yes' if plan[name] else 'NO':<5}" for name in ("fits", "hides"))
        lines.append(
            f"{plan['gpus']:>5}{plan['ranks']:>6}{plan['tokens_per_gpu']:>7} |{seconds} "
            f"|{memory['weights']:>8.1f}{held} "
            f"| {yes}{plan['tokens_per_s']:>9,.0f}{plan['mfu']:>5.2f}"
        )
    return lines
