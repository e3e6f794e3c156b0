"""A small instruction mixture of two chat files, its stage, and settings that train on it."""

import json
from dataclasses import replace

from clip_shards import picture

from omni_lab.config import override, tiny
from omni_lab.data.instruct.lessons import MixtureData, open_datasets
from omni_lab.data.instruct.mixture import mix
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.data.writing import writing_of

SETTINGS = (
    "training.stages=+instruct", "training.stages.instruct.batch_size=4",
    "training.stages.instruct.train=image,connector,decoder", "training.warmup_steps=1",
    "training.stages.instruct.schedule=constant", "training.checkpoint_every=1",
    "training.stages.instruct.steps=6",
)  # fmt: skip
SPECS = ("seen=75", "told=25")


def chats(folder, samples, word):
    """A chat file of pictures whose answers are a word and a number."""
    folder.mkdir()
    lines = []
    for number in range(samples):
        (folder / f"{number}.jpg").write_bytes(picture(7 * number))
        asked = [{"type": "image", "image": f"{number}.jpg"}, {"type": "text", "text": "What?"}]
        answer = {"role": "assistant", "content": f"{word} {number}"}
        lines.append({"messages": [{"role": "user", "content": asked}, answer]})
    path = folder / "chat.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return str(path)


def settings_of(*more):
    """The tiny preset with one stage, `instruct`."""
    return override(tiny(), [*SETTINGS, *more])


def format_of(config):
    """Format of the stage."""
    return writing_of(config, config.training.stages[-1], build_vocabulary(config))


class Lessons:
    """Data of a stage of any number of steps, from two chat files."""

    def __init__(self, folder, config, sizes=(8, 8, 16, 16)):
        paths = {
            "seen": chats(folder / "seen", 5, "red"),
            "told": chats(folder / "told", 9, "blue"),
        }
        self.writing = format_of(config)
        self.documents = open_datasets(
            {name: ("chat", path) for name, path in paths.items()}, self.writing
        )
        self.mixture = mix(self.documents, SPECS, sizes, seed=0)

    def __call__(self, stage):
        return InProcess(stage, self.writing, self.documents, self.mixture)

    def of(self, stage, **settings):
        """Data of the stage with other settings."""
        return self(replace(stage, **settings))


class InProcess(MixtureData):
    """Batches made here: no process beside training, whose writes and time would count."""

    def batches(self, first, rank=0, ranks=1):
        for step in range(first, self.settings.steps):
            yield self.batch(step, rank, ranks)
