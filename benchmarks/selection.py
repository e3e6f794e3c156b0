"""Cost of a selective training step whose reference losses are read from a side table.

    python benchmarks/selection.py [--quick]

Documents of text in a folder, a reference of random weights, its losses of them in a table as `omni-lab svlm table`
writes it. A small decoder with a large output layer takes steps, from reading its rows to the backward pass, in three
ways: on all tokens; on the 60 % with the highest excess loss, reference losses read from the table; and on as many,
reference losses computed at every step. All see the same rows, in turn, on one thread; the value is the ratio of the
CPU seconds of the second way to those of the first, median over rounds. What the table itself adds to a batch is
measured beside it, by batches that are read and not learned from.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import string
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from omni_lab.config import Config, SelectionConfig, StageConfig, override, tiny

# omni_lab comes before torch, whose threads then sleep while they wait
# isort: split
import torch

from omni_lab.data.batch import StageData
from omni_lab.data.sources import training_data
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.data.writing import hash_of
from omni_lab.model.omni import OmniModel
from omni_lab.training import checkpoint
from omni_lab.training.losses.objective import stage_objective, supervised
from omni_lab.training.models import new_model
from omni_lab.training.run import Place, RunFolder
from omni_lab.training.selection.table import Written, write_table

GOAL = 1.05
WORDS, ROWS, TOKENS = 32_000, 8, 128
ALL, TABLE, COMPUTED = "all tokens", "table", "computed"


def words() -> list[str]:
    """Words of three letters."""
    letters = string.ascii_lowercase + string.digits[:6]
    return ["".join(three) for three in itertools.product(letters, repeat=3)][: WORDS - 2]


def write_tokenizer(folder: Path) -> None:
    """Tokenizer of `WORDS` words, a token each."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {word: number for number, word in enumerate(["<unk>", "<end>", *words()])}
    core = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", eos_token="<end>")
    tokenizer.save_pretrained(folder)


def write_documents(file: Path, count: int) -> None:
    """Texts of random words, a row each."""
    drawn, known = random.Random(0), words()
    texts = (" ".join(drawn.choices(known, k=TOKENS - 1)) for _ in range(count))
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def settings(folder: Path) -> Config:
    """Settings of one stage on the documents of a folder, on all tokens."""
    paths = [f"data.tokenizer={folder / 'words'}", f"data.text={folder / 'texts.jsonl'}"]
    config = override(tiny(), [*paths, "model.wide_init=false", "training.threads=1"])
    stage = StageConfig(
        "text", sources=("text",), train=("decoder",), batch_size=ROWS, max_tokens=TOKENS
    )
    return replace(config, training=replace(config.training, stages=(stage,)))


def selecting(config: Config, **named: str) -> Config:
    """The same with a selection by excess loss, and where its reference or table lies."""
    (stage,) = config.training.stages
    own = replace(stage, selection=SelectionConfig("excess", keep=0.6, **named))
    return replace(config, training=replace(config.training, stages=(own,)))


def made_table(config: Config, folder: Path) -> tuple[Config, Config, Written]:
    """Settings that read a table and that compute its losses, and what was written."""
    of_reference = replace(config, seed=7)
    run = RunFolder(folder / "reference", of_reference)
    checkpoint.save(
        run.checkpoints, Place("text", 1), new_model(of_reference), [], {}, of_reference
    )
    computing = selecting(config, reference=str(run.path))
    (stage,) = computing.training.stages
    written = write_table(computing, stage, folder / "losses", progress=False)
    return selecting(config, table=str(folder / "losses")), computing, written


class Way:
    """Training of one stage, as a trainer does it up to the backward pass.

    Parameters
    ----------
    model : shared by all ways; its weights do not move
    """

    def __init__(self, config: Config, model: OmniModel) -> None:
        self.config, (stage,) = config, config.training.stages
        self.data = self.open()
        self.objective = stage_objective(model, config.training, stage)
        if self.objective.selection:
            self.objective.selection.open(model, hash_of(build_vocabulary(config)))

    def open(self, number: int = 0) -> StageData:
        """Open the stage's documents, and its table where it has one."""
        return training_data(self.config, *self.config.training.stages)

    def step(self, number: int) -> None:
        """Read the rows of a step, forward and backward."""
        batch, selection = self.data.batch(number), self.objective.selection
        if selection:
            batch = selection.prepare(batch, number)
        counts = tuple(supervised(batch, selection).tolist())
        weights = {"stream": 1.0, "caption": 0.0, "align": 0.0}
        self.objective(batch, weights, counts)["loss"].backward()
        self.objective.zero_grad()


def in_turn(works: dict[str, Callable[[int], object]], first: int, times: int) -> dict[str, float]:
    """Median CPU seconds of a call of each of several works, which take turns at every number."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(first, first + times):
        for name, work in works.items():
            began = time.process_time()
            work(number)
            found[name].append(time.process_time() - began)
    return {name: statistics.median(own) for name, own in found.items()}


def ways_of(folder: Path, documents: int) -> dict[str, Way]:
    """Ways of training on documents written into a folder, and their table, ready for a step."""
    write_tokenizer(folder / "words")
    write_documents(folder / "texts.jsonl", documents)
    plain = settings(folder)
    tabled, computing, written = made_table(plain, folder)
    size = sum(file.stat().st_size for file in (folder / "losses").iterdir())
    print(
        f"table: {written.documents:,} documents, {written.labels:,} losses, {size / 2**20:.2f} MiB"
    )

    model = new_model(plain)
    ways = {
        name: Way(config, model)
        for name, config in ((ALL, plain), (TABLE, tabled), (COMPUTED, computing))
    }
    for way in ways.values():
        way.step(0)
    return ways


def ratios(ways: dict[str, Way], rounds: int, steps: int) -> list[float]:
    """A selective step that reads a table beside a step on all tokens, in CPU seconds, by round."""
    reading = {name: way.data.batch for name, way in ways.items() if name != COMPUTED}
    opening = {name: ways[name].open for name in reading}
    steps_of, reads_of, opens_of = [], [], []
    for number in range(rounds):
        steps_of.append(
            in_turn({name: way.step for name, way in ways.items()}, number * steps, steps)
        )
        reads_of.append(in_turn(reading, number * steps, 8 * steps))
        opens_of.append(in_turn(opening, number, 3))
        told = ", ".join(f"{name} {own:.3f} s" for name, own in steps_of[-1].items())
        print(f"round {number + 1}: {told}")

    whole = 1000 * statistics.median(found[ALL] for found in steps_of)
    for what, rounds_of in ((f"reading {ROWS} rows", reads_of), ("opening the data", opens_of)):
        own = 1000 * statistics.median(found[ALL] for found in rounds_of)
        more = [1000 * (found[TABLE] - found[ALL]) for found in rounds_of]
        print(
            f"{what} takes {own:.2f} ms, with the table {statistics.median(more):.2f} ms more "
            f"({min(more):.2f} to {max(more):.2f}); a step takes {whole:.0f} ms"
        )
    over = {name: [found[name] / found[ALL] for found in steps_of] for name in (TABLE, COMPUTED)}
    for name, own in over.items():
        print(
            f"{name}: {statistics.median(own):.3f} × a step on all tokens "
            f"({min(own):.3f} to {max(own):.3f})"
        )
    return over[TABLE]


def main() -> None:
    """Measure in turn, print people's text and one last line of JSON."""
    parser = argparse.ArgumentParser(description="Cost of selection with a table of losses.")
    parser.add_argument(
        "--quick", action="store_true", help="3 rounds of 3 steps, 64 documents; not 9 of 8, 512"
    )
    rounds, steps, documents = (3, 3, 64) if parser.parse_args().quick else (9, 8, 512)

    torch.manual_seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = ratios(ways_of(Path(folder), documents), rounds, steps)
    value = statistics.median(found)
    result = {
        "name": "selection",
        "value": round(value, 3),
        "unit": "× a step on all tokens",
        "goal": GOAL,
        "holds": value <= GOAL,
        "spread": round(max(found) - min(found), 3),
        "n": len(found),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
