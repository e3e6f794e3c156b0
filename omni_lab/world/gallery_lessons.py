"""Training batches of the stages vision, audio and omni: scripts of the world, clips of shards.

A batch is a function of (seed, stage, step, rank): a resumed run sees the same batches as an
uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import pairwise

from omni_lab.config import TICKS_PER_SECOND, Config, StageConfig
from omni_lab.data.batch import StageData, TrainingBatch, samples_of
from omni_lab.data.sources import ratio_of
from omni_lab.data.vocabulary import build_vocabulary
from omni_lab.errors import UsageError
from omni_lab.sequences.batch import Batch, make_batch
from omni_lab.sequences.items import Sequence
from omni_lab.sequences.stream import omni_stream, unit_ticks
from omni_lab.sequences.tokens import tokenize
from omni_lab.triplets.record import Triplet
from omni_lab.world.clips import described, from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.questions import FACTS
from omni_lab.world.script import Script
from omni_lab.world.voice import rehearse

# facts in which a heard word names what to look for
BY_EAR = {fact for fact, (carriers, _, _) in FACTS.items() if {"image", "audio"} <= set(carriers)}
FINDING, MOVING, DESCRIBING = (2, 3), (4, 3), (0, 1, 4, 3)  # caption orders that take turns
LESSONS = {FINDING: "finding", MOVING: "moving", DESCRIBING: "describing"}
# they change at these fractions of the curriculum
CURRICULUM = ((0.0, FINDING), (0.18, MOVING), (1.0, DESCRIBING))
MODALITIES_OF = {  # of a stage's lessons, the one that carries captions first
    "vision": ("image", "text"),
    "audio": ("audio", "text"),
    "omni": ("image", "audio", "text"),
}
MIXED = {  # of clips that a stage mixes, by the name of their source
    "gallery.omni": ("image", "audio", "text"),
    "gallery.image": ("image", "text"),
    "gallery.audio": ("audio", "text"),
    "gallery.text": ("text",),
}
COUNTED = 24  # clips of each kind whose tokens are counted, for a ratio in tokens


class GalleryLessons(StageData):
    """Training data of the stages vision, audio and omni: streams with questions, captions.

    Parameters
    ----------
    films : clips read back from shards; in the omni stage one row of every batch is cut from them

    Raises
    ------
    UsageError
        the stage has sound, and the sequence layout has no place for it
    """

    def __init__(
        self, config: Config, stage: StageConfig, films: list[Triplet] | None = None
    ) -> None:
        self.modalities = MODALITIES_OF[stage.name]
        self.mix = {name: n for name, n in ratio_of(stage).items() if name in MIXED}
        if "audio" in self.modalities and config.sequence.layout != "stream":
            wrong = f"has no place for the sound of stage {stage.name}"
            right = "use sequence.layout=stream"
            raise UsageError(f"sequence.layout={config.sequence.layout} {wrong}; {right}")
        self.config, self.settings = config, stage
        self.films = [f for f in films or [] if "text" in f.has]
        self.vocabulary = build_vocabulary(config)
        self.carrier = self.modalities[0]

    @cached_property
    def _pattern(self) -> tuple[tuple[str, ...], ...]:
        """Modalities of samples that take turns, in the ratio of the stage's mixture."""
        if not self.mix:
            return (self.modalities,)
        weights = {name: float(n) for name, n in self.mix.items()}
        if self.settings.ratio_unit == "tokens":
            weights = {name: n / self._mean_tokens(MIXED[name]) for name, n in weights.items()}
        return tuple(MIXED[name] for name in in_turn(weights))

    def _mean_tokens(self, senses: tuple[str, ...]) -> float:
        """Mean length of a clip's row that has these modalities."""
        rows = [self._laid_out(self._clip(self._script(n, senses), senses)) for n in range(COUNTED)]
        tokens = [len(tokenize(r, self.vocabulary, self.config.sequence).ids) for r in rows]
        return sum(tokens) / COUNTED

    def senses(self, sample: int) -> tuple[str, ...]:
        """Modalities of a sample."""
        return self._pattern[sample % len(self._pattern)]

    def _script(self, sample: int, senses: tuple[str, ...] | None = None) -> Script:
        """Script of a sample: whole rooms, as many as the stage's units need."""
        senses = senses or self.senses(sample)
        room_s = self.config.world.room_s
        seconds = -(-self.settings.seconds // room_s) * room_s
        stages = tuple(MODALITIES_OF)
        stage = self.config.seed * len(stages) + stages.index(self.settings.name)
        seed = stage * 1_000_000_000 + sample
        # some streams have as few questions as the films
        calm = self.settings.name == "omni" and sample % 16 == 3
        return write_script(seed, seconds, self.config.world, calm=calm, senses=senses)

    def _clip(self, script: Script, senses: tuple[str, ...]) -> Triplet:
        rate = self.config.triplets.frames_per_second
        return from_script(
            script, self.config.model.image.size, self.config.world, rate, senses=senses
        )

    def _orders(self, step: int) -> tuple[int, ...]:
        """Caption orders, a curriculum: finding a word, then how things move, places last.

        Finding is hardly ever learned beside what describes a place, and moves are not once things
        can be found and named: they come in between, early (results/LOG.md).
        """
        steps = self.settings.curriculum_fraction * self.settings.steps
        if step >= steps:
            return DESCRIBING
        return [orders for start, orders in CURRICULUM if step >= start * steps][-1]

    def lesson(self, step: int) -> str:
        """Name of the captions of a step, where they change during the stage."""
        return LESSONS[self._orders(step)] if self.settings.curriculum_fraction else ""

    def _captions(
        self, clip: Triplet, script: Script, step: int, sample: int
    ) -> Iterator[tuple[int, Triplet]]:
        """Caption rows of single seconds beside the whole clip, as (second, clip).

        Unimodal stages describe every second. The omni stage takes out of every room up to two
        seconds in which a heard word names what to find: alone, with that question only, it is
        learned sooner than within a long stream.
        """
        if self.settings.name != "omni":
            orders = self._orders(step)
            for second in range(script.seconds):
                order = orders[(sample + second) % len(orders)]
                yield second, described(clip, script, second, self.carrier, order)
            return

        for first in range(0, script.seconds, script.room_s):
            by_ear = [
                q.second
                for q in script.questions
                if q.fact in BY_EAR and 0 <= q.second - first < script.room_s
            ]
            for number in range(min(2, len(by_ear))):
                second = by_ear[(sample + number) % len(by_ear)]
                start = second * TICKS_PER_SECOND
                yield second, _by_ear_alone(clip.window(start, start + TICKS_PER_SECOND))

    def _film(self, step: int) -> Triplet:
        """Window of whole rooms of a film from shards."""
        film = self.films[step % len(self.films)]
        room = self.config.world.room_s * TICKS_PER_SECOND
        length = min(self.settings.seconds * unit_ticks(self.config.sequence), film.duration)
        starts = max(1, (film.duration - length) // room + 1)
        start = (step // len(self.films)) % starts * room
        return film.window(start, start + length)

    def _laid_out(self, clip: Triplet) -> Sequence:
        # a stream without text is kept: `<listen>` is learned from it too
        return omni_stream(clip, self.config.sequence, supervised=False)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> TrainingBatch:
        """Training batch of `rank` at `step`: streams, and captions of their seconds."""
        samples = samples_of(self.settings, step, rank, ranks)
        whole: list[Sequence] = []
        alone: list[Sequence] = []  # single seconds
        at: list[int] = []  # which unit each of them is, among all units of the streams
        units = 0
        of_film = step * self.settings.batch_size if self.films else None  # one row of every batch

        # rows with all modalities first: captions count the units before theirs, of both senses
        for sample in sorted(samples, key=lambda number: -len(self.senses(number))):
            if self.settings.name == "omni" and sample == of_film:
                whole.append(self._laid_out(self._film(step)))
            else:
                script = self._script(sample)
                clip = self._clip(script, self.senses(sample))
                whole.append(self._laid_out(clip))
                if self.senses(sample) != self.modalities:
                    continue  # of a mixture: it has no captions
                for second, part in self._captions(clip, script, step, sample):
                    alone.append(self._laid_out(part))
                    at.append(units + second)
            units += len(whole[-1].waves if self.carrier == "audio" else whole[-1].frames)

        streams, captions = (self._collated(rows) if rows else None for rows in (whole, alone))
        return TrainingBatch(streams, captions and captions.with_units(at))

    def _collated(self, rows: list[Sequence]) -> Batch:
        config = self.config
        return make_batch(rows, self.vocabulary, config.sequence, config.model.image.size)

    def batches(self, first: int, rank: int = 0, ranks: int = 1) -> Iterator[TrainingBatch]:
        """Batches of one rank from step `first` to the stage's end, prefetched."""
        if "audio" in self.modalities:
            steps = self.settings.steps - first
            rehearse(steps * self.settings.batch_size * self.settings.seconds)
        yield from super().batches(first, rank, ranks)


def in_turn(weights: dict[str, float], most: int = 240) -> list[str]:
    """Names that take turns in the ratio of their weights, as evenly as can be.

    >>> in_turn({"image": 2.0, "text": 1.0})
    ['image', 'text', 'image']
    """
    total, counts = sum(weights.values()), dict.fromkeys(weights, 0)
    whole = all(weight == int(weight) for weight in weights.values())
    turns = []
    for number in range(1, (int(total) if whole else most) + 1):
        name = max(weights, key=lambda n: weights[n] / total * number - counts[n])
        counts[name] += 1
        turns.append(name)
    return turns


def _by_ear_alone(moment: Triplet) -> Triplet:
    """Clip with only those exchanges whose answer is found by a heard word."""
    answers = {fact["start"] for fact in moment.facts if fact["fact"] in BY_EAR}
    exchanges = (pair for pair in pairwise(moment.cues) if pair[1].start in answers)
    return replace(moment, cues=tuple(cue for pair in exchanges for cue in pair))
