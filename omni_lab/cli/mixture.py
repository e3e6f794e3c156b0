"""Commands below `omni-lab mixture`: an instruction mixture from datasets, and its decay branches."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from omni_lab.cli.commands import add_json, add_settings, answer, command, configured, count
from omni_lab.errors import UsageError

if TYPE_CHECKING:
    from omni_lab.config import Config
    from omni_lab.data.documents import Documents
    from omni_lab.data.instruct.mixture import Mixture
    from omni_lab.data.instruct.seen import Seen
    from omni_lab.data.writing import Writing

STAGE = "instruct"
BUILD = "omni-lab mixture build qa=60:chat:qa.jsonl talk=40:text:talk.jsonl --parts 480 960 --out runs/mix.json"
EXPLORE = "omni-lab mixture explore qa=100:chat:qa.jsonl --parts 480 960 --test qa=chat:new.jsonl --out runs/mix"
_DATASET = re.compile(r"([\w.-]+)=(?:([0-9./]+):)?(\w+):(.+)", re.DOTALL)


class Named(NamedTuple):
    """Dataset of a call."""

    name: str
    percent: str
    kind: str
    path: str


def add_mixture(commands: Any) -> None:
    """Argument parsers of the commands below `omni-lab mixture`."""
    message = "instruction mixture: percentages of datasets, parts of equal mix, decay branches"
    inner = command(commands, "mixture", message, BUILD).add_subparsers(
        title="commands", metavar="COMMAND"
    )
    message = "indices of a mixture, sample by sample, and what will be seen of every dataset"
    parser = command(inner, "build", message, BUILD, build)
    _add_datasets(parser)
    parser.add_argument("--out", type=Path, required=True, help="file for the indices (.json)")
    add_json(parser)

    message = "trunk at a constant rate, and a decay branch and a merge from the end of every part"
    parser = command(inner, "explore", message, EXPLORE, explore)
    _add_datasets(parser)
    message = "held-out dataset whose log-likelihood decides; repeatable"
    parser.add_argument(
        "--test", nargs="+", action="extend", required=True, metavar="NAME=KIND:PATH", help=message
    )
    message = "run folder whose furthest weights the trunk begins with"
    parser.add_argument("--init", type=Path, metavar="RUN", help=message)
    message = "folder of trunk, branches, merges and curve.json; a stopped call resumes"
    parser.add_argument("--out", type=Path, required=True, help=message)
    message = "steps of a branch, as a fraction of the trunk's before it (default: %(default)s)"
    parser.add_argument("--extra", type=float, default=0.1, metavar="FRACTION", help=message)
    shapes = ("linear", "cosine", "exponential")
    message = "how a branch's rate decays (default: %(default)s)"
    parser.add_argument("--shape", choices=shapes, default="linear", help=message)
    message = "checkpoints of the trunk that are merged at the end of a part (default: none)"
    parser.add_argument("--merged", type=count, metavar="NUMBER", help=message)
    message = "steps from one merged checkpoint to the next (default: %(default)s)"
    parser.add_argument("--apart", type=count, default=1, metavar="STEPS", help=message)
    add_json(parser)


def _add_datasets(parser: argparse.ArgumentParser) -> None:
    """Options of what is mixed, and of the format that it is written in."""
    message = (
        "dataset: its name, its percentage of the samples, its kind (chat, image_text, "
        "audio_text, text or shards), and where it lies"
    )
    parser.add_argument("datasets", nargs="+", metavar="NAME=PERCENT:KIND:PATH", help=message)
    message = "samples of every part, such as 480 480 960; small datasets come repeatedly"
    parser.add_argument("--parts", nargs="+", type=count, required=True, help=message)
    parser.add_argument("--seed", type=int, default=0, help="of all orders (default: %(default)s)")
    message = "tiny, small or full_7b (default: %(default)s)"
    parser.add_argument("--preset", default="tiny", help=message)
    add_settings(parser)


def build(arguments: argparse.Namespace) -> None:
    """`omni-lab mixture build`: indices of a mixture, saved, and a table of what will be seen."""
    from omni_lab.data.instruct.indices import save_mixture
    from omni_lab.data.instruct.seen import seen_table

    _, writing = _format(arguments)
    mixture, datasets = _mixed(arguments, writing)
    save_mixture(mixture, arguments.out)
    found = _counted(mixture, datasets)
    record = _record(mixture, found) | {"file": str(arguments.out)}
    answer(arguments, record, f"{seen_table(found)}\nwrote {arguments.out}")


def explore(arguments: argparse.Namespace) -> None:
    """`omni-lab mixture explore`: trunk, branches and merges, and the part that wins."""
    from omni_lab.data.instruct.indices import save_mixture
    from omni_lab.data.instruct.lessons import MixtureData, open_datasets, steps_at_ends
    from omni_lab.data.instruct.seen import seen_table
    from omni_lab.training.branches.curve import Branching
    from omni_lab.training.branches.curve import explore as explored
    from omni_lab.training.branches.held_out import AVERAGE, HeldOut

    config, writing = _format(arguments)
    (stage,) = config.training.stages
    # the branch of the last part reads on: its samples are one more part
    mixture, datasets = _mixed(arguments, writing, ends=stage.batch_size)
    ends = steps_at_ends(mixture, stage.batch_size, len(arguments.parts))
    tests = {one.name: (one.kind, one.path) for one in map(_test, arguments.test)}
    score = HeldOut(stage, writing, open_datasets(tests, writing))
    branching = Branching(
        ends, arguments.extra, arguments.shape, arguments.merged or 0, arguments.apart
    )
    save_mixture(mixture, arguments.out / "mixture.json")

    curve = explored(
        config, lambda own: MixtureData(own, writing, datasets, mixture), branching, arguments.out,
        score, AVERAGE, arguments.init, progress=not arguments.json,
    )  # fmt: skip
    found = _counted(mixture, datasets)
    record = curve | {"mixture": _record(mixture, found), "folder": str(arguments.out)}
    answer(arguments, record, f"{seen_table(found)}\n\n{_curve(curve)}")


def _format(arguments: argparse.Namespace) -> tuple[Config, Writing]:
    """Settings with the one stage that a mixture is trained in, and its format."""
    from omni_lab.config import override
    from omni_lab.data.vocabulary import build_vocabulary
    from omni_lab.data.writing import writing_of

    own = [f"training.stages=+{STAGE}", f"training.stages.{STAGE}.schedule=constant"]
    config = configured(arguments.preset, [])
    config = override(config, [*own, *arguments.settings])
    (stage,) = [one for one in config.training.stages if one.name == STAGE]
    config = replace(config, training=replace(config.training, stages=(stage,)))
    return config, writing_of(config, stage, build_vocabulary(config))


def _mixed(
    arguments: argparse.Namespace, writing: Writing, ends: int = 0
) -> tuple[Mixture, dict[str, Documents]]:
    """Mixture of a call and its datasets; `ends` adds a part for the last branch, in rows."""
    from omni_lab.data.instruct.lessons import open_datasets
    from omni_lab.data.instruct.mixture import mix

    named = [_dataset(text) for text in arguments.datasets]
    datasets = open_datasets({one.name: (one.kind, one.path) for one in named}, writing)
    sizes = list(arguments.parts)
    if ends:
        steps = max(1, round(arguments.extra * sum(sizes) / ends))
        sizes.append(steps * ends)
    percentages = [f"{one.name}={one.percent}" for one in named]
    return mix(datasets, percentages, sizes, arguments.seed), datasets


def _dataset(text: str) -> Named:
    """Dataset of a call, from `NAME=PERCENT:KIND:PATH`."""
    found = _DATASET.fullmatch(text)
    if not found or not found[2]:
        right = "write NAME=PERCENT:KIND:PATH, such as vqa=60:chat:vqa.jsonl"
        raise UsageError(f"{text!r} is no dataset of a mixture: {right}")
    return Named(*found.groups())


def _test(text: str) -> Named:
    """Held-out dataset of a call, from `NAME=KIND:PATH`."""
    found = _DATASET.fullmatch(text)
    if not found or found[2]:
        right = "write NAME=KIND:PATH, such as vqa=chat:vqa_test.jsonl"
        raise UsageError(f"--test {text!r} is no held-out dataset: {right}")
    return Named(*found.groups())


def _counted(mixture: Mixture, datasets: dict[str, Documents]) -> dict[str, Seen]:
    """What will be seen of every dataset."""
    from omni_lab.data.instruct.seen import seen_of

    return seen_of(mixture, None, {name: own.lengths() for name, own in datasets.items()})


def _record(mixture: Mixture, found: dict[str, Seen]) -> dict[str, Any]:
    """The same with the mixture's parts, for programs."""
    seen = {name: own._asdict() | {"epochs": own.epochs} for name, own in found.items()}
    return {"fingerprint": mixture.fingerprint, "parts": list(mixture.sizes), "seen": seen}


def _curve(curve: dict[str, Any]) -> str:
    """Scores by part as a table, and the winner."""
    kinds = [kind for kind in ("trunk", "branch", "merge") if kind in curve["points"][0]]
    lines = ["part  steps" + "".join(f"{kind:>10}" for kind in kinds)]
    for point in curve["points"]:
        values = "".join(f"{point[kind][curve['by']]:>10.4f}" for kind in kinds)
        lines.append(f"{point['part']:>4}  {point['step']:>5}{values}")
    won = curve["winner"]
    told = f"{won['kind']} of part {won['part']}, {won['score']:.4f}"
    lines.append(f"best {curve['by']} (held-out log-likelihood, nats per token): {told}")
    return "\n".join(lines)
