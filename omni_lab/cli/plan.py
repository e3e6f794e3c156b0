"""`omni-lab plan`: what a training step on a long context takes, before anybody rents the GPUs."""

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
NUMBERS = {  # option → the machine's field, one of its units, and what it says
    "--peak": ("peak_flops", 1e12, "TFLOP/s of dense bf16"),
    "--memory": ("memory", GIB, "GiB"),
    "--nvlink": ("nvlink", GIGA, "GB/s from GPU to GPU in a node, one direction"),
    "--network": ("network", GIGA, "GB/s per GPU between nodes, one direction"),
    "--latency": ("latency_s", 1e-6, "µs before a message's first byte is there"),
    "--matmul-use": ("matmul_use", 1, "share of the peak that matrix products reach"),
    "--attention-use": ("attention_use", 1, "share of the peak that attention reaches"),
    "--reserve": ("reserve", GIB, "GiB that driver and communication take"),
}
LEGEND = (
    "share: GPUs of one sequence; tokens: on each of them; wait: for ranks with more work;",
    "attn, weights: communication that nothing hides; tokens/s: of one GPU; MFU: of the peak, nothing counted twice",
)


def add_plan(commands: Any) -> None:
    """Add `omni-lab plan`."""
    message = "time, memory and communication of a training step on a long context, on paper and by simulation"
    parser = command(commands, "plan", message, EXAMPLES, plan)
    message = "tokens in one sequence (default: 131072 524288)"
    parser.add_argument(
        "--tokens", type=count, nargs="+", default=[131_072, 524_288], metavar="N", help=message
    )
    gpus = [8, 16, 32, 64, 128, 256, 512]
    message = "GPUs in all (default: 8 to 512)"
    parser.add_argument("--gpus", type=count, nargs="+", default=gpus, metavar="N", help=message)
    message = "GPUs that share one sequence; the others have sequences of their own (default: all share one)"
    parser.add_argument("--ranks", type=count, metavar="N", help=message)
    parser.add_argument(
        "--engine",
        choices=PLANNED_ENGINES,
        default="ring",
        help="how they attend (default: %(default)s)",
    )
    parser.add_argument(
        "--layout",
        choices=CHUNKS,
        default="zigzag",
        help="which tokens go where (default: %(default)s)",
    )
    message = "keep a layer's input alone and run it again before its backward (default: yes)"
    parser.add_argument(
        "--recompute", action=argparse.BooleanOptionalAction, default=True, help=message
    )
    message = (
        "share of tokens with a loss, which alone meet the output layer (default: %(default)s)"
    )
    parser.add_argument("--supervised", type=float, default=1.0, metavar="SHARE", help=message)
    parser.add_argument(
        "--preset", default="full_7b", help="tiny, small or full_7b (default: %(default)s)"
    )
    message = "tokens that the decoder knows (default: %(default)s, Qwen2.5-7B's)"
    parser.add_argument("--vocabulary", type=count, default=152_064, metavar="N", help=message)
    machine = parser.add_argument_group(
        "the machine", "a named GPU, and numbers to put in the place of its own"
    )
    machine.add_argument("--gpu", choices=MACHINES, default="h100", help="(default: %(default)s)")
    for option, (_, _, message) in NUMBERS.items():
        machine.add_argument(option, type=float, metavar="X", help=message)
    machine.add_argument("--node", type=count, metavar="N", help="GPUs in a node")
    parser.add_argument(
        "--figure", type=Path, metavar="FILE", help="picture to write (.png, .pdf, .svg)"
    )
    add_settings(parser)
    add_json(parser)


def plan(arguments: argparse.Namespace) -> None:
    """`omni-lab plan`: a table per length, and where communication stops hiding behind compute."""
    config = configured(arguments.preset, arguments.settings)
    machine = _machine(arguments)
    from omni_lab.planner.memory import parameters
    from omni_lab.planner.plan import Task, crossings, most_ranks, plan_step

    decoder, asked = config.model.decoder, (arguments.engine, arguments.layout, arguments.recompute)
    plans = [
        plan_step(
            Task(
                decoder,
                arguments.vocabulary,
                tokens,
                gpus,
                arguments.ranks or gpus,
                *asked,
                arguments.supervised,
            ),
            machine,
        )
        for tokens in arguments.tokens
        for gpus in arguments.gpus
    ]
    found = crossings(decoder, arguments.layout, machine) if arguments.engine == "ring" else {}
    record = {
        "preset": config.name,
        "decoder": {**asdict(decoder), "vocabulary": arguments.vocabulary},
        "parameters": parameters(decoder, arguments.vocabulary),
        "machine": asdict(machine),
        **{
            name: getattr(arguments, name)
            for name in ("engine", "layout", "recompute", "supervised")
        },
        "hides_from": found,
        "most_ranks": {
            str(tokens): most_ranks(tokens, found, machine) for tokens in arguments.tokens if found
        },
        "plans": plans,
    }
    text = _written(record)
    if arguments.figure:
        from omni_lab.plots.style import save
        from omni_lab.plots.systems.plan import draw_plan

        save(draw_plan(record), arguments.figure)
        text += f"\n\npicture: {arguments.figure}"
        record["picture"] = str(arguments.figure)
    answer(arguments, record, text)


def _machine(arguments: argparse.Namespace) -> Machine:
    """The named machine with the numbers that were given instead of its own."""
    given = {
        field: scale * value
        for option, (field, scale, _) in NUMBERS.items()
        if (value := getattr(arguments, option[2:].replace("-", "_"))) is not None
    }
    node = {} if arguments.node is None else {"node": arguments.node}
    return replace(MACHINES[arguments.gpu], **given, **node)


def _written(record: dict[str, Any]) -> str:
    """The plan for people: what is assumed first, then a table per length."""
    decoder, machine = record["decoder"], record["machine"]
    sizes = f"{decoder['layers']} layers, width {decoder['width']}, {decoder['heads']} query and {decoder['kv_heads']}"
    speeds = f"{machine['peak_flops'] / 1e12:g} TFLOP/s, {machine['memory'] / GIB:g} GiB; one direction, per GPU: "
    speeds += f"NVLink {machine['nvlink'] / GIGA:g} GB/s in nodes of {machine['node']}, "
    speeds += (
        f"network {machine['network'] / GIGA:g} GB/s, {machine['latency_s'] * 1e6:g} µs a message"
    )
    shares = f"matrix products reach {machine['matmul_use']:g} of the peak, attention {machine['attention_use']:g}; "
    shares += (
        f"{machine['reserve'] / GIB:g} GiB are kept free; encoders and optimizer step cost nothing"
    )
    recompute = "layers run forward twice" if record["recompute"] else "all activations are kept"
    lines = [
        f"model    decoder of {record['preset']}: {sizes} K/V heads of {decoder['head_dim']}, vocabulary "
        f"{decoder['vocabulary']:,}: {record['parameters'] / 1e9:.2f} B parameters",
        f"machine  {machine['name']}: {speeds}",
        f"assumed  {shares}",
        f"way      {record['engine']}, {record['layout']}, {recompute}, loss on {record['supervised']:.0%} of tokens; "
        "weights spread over all GPUs",
        *_crossings(record),
    ]
    for tokens in dict.fromkeys(plan["tokens"] for plan in record["plans"]):
        most = record["most_ranks"].get(str(tokens))
        hides = (
            ""
            if most is None
            else f": communication hides up to {most} GPU{'s' * (most > 1)} per sequence"
        )
        lines += [
            "",
            f"{tokens:,} tokens{hides}",
            *_table([p for p in record["plans"] if p["tokens"] == tokens]),
        ]
    return "\n".join([*lines, "", *LEGEND])


def _crossings(record: dict[str, Any]) -> list[str]:
    if not record["hides_from"]:
        return [
            f"hides    nothing: {record['engine']} communicates before and after attention, not during it"
        ]
    lines = []
    for link, found in record["hides_from"].items():
        paper = f" (on paper {found['formula']:,.0f})" if "formula" in found else ""
        least = found["simulated"]
        lines.append(
            f"hides    over {link}: "
            + (f"from {least:,} tokens per GPU on{paper}" if least else "never")
        )
    return lines


def _table(plans: list[dict[str, Any]]) -> list[str]:
    """One line per number of GPUs: seconds of a step, GiB of a GPU, speed."""
    lines = [
        f"{'':18} |{'seconds of a step':^40} |{'GiB of a GPU':^36} |",
        f"{'GPUs':>5}{'share':>6}{'tokens':>7} |{'step':>8}{'work':>8}{'wait':>8}{'attn':>8}{'weights':>8} "
        f"|{'weights':>8}{'optim':>7}{'activ':>7}{'other':>7}{'all':>7} | fits hides tokens/s  MFU",
    ]
    times = ("step", "work", "waiting", "exposed_attention", "exposed_weights")
    for plan in plans:
        memory = {name: size / GIB for name, size in plan["memory"].items()}
        memory["other"] = memory["gathered"] + memory["buffers"] + memory["logits"]
        seconds = "".join(f"{plan[f'{name}_s']:>8.3f}" for name in times)
        held = "".join(
            f"{memory[name]:>7.1f}" for name in ("optimizer", "activations", "other", "total")
        )
        yes = "".join(f"{'yes' if plan[name] else 'NO':<5}" for name in ("fits", "hides"))
        lines.append(
            f"{plan['gpus']:>5}{plan['ranks']:>6}{plan['tokens_per_gpu']:>7} |{seconds} "
            f"|{memory['weights']:>8.1f}{held} | {yes}{plan['tokens_per_s']:>9,.0f}{plan['mfu']:>5.2f}"
        )
    return lines
