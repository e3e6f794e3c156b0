"""What a stage learns from: scripts of the world, and clips of real shards, mixed into batches.

A batch is a function of (seed, stage, step, rank): a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from omni_lab.config import TICKS_PER_SECOND, Config, StageConfig
from omni_lab.errors import CallFault
from omni_lab.sequences.batch import Batch, make_batch
from omni_lab.sequences.items import Sequence, omni_stream
from omni_lab.sequences.vocabulary import WorldVocabulary
from omni_lab.triplets.record import Triplet
from omni_lab.triplets.scripted import described, from_script
from omni_lab.world.script import Script, write_script

STAGES = ("vision", "audio", "omni")


@dataclass
class StageBatch:
    """What one step of one process learns from: streams with questions, and descriptions of single seconds."""

    streams: Batch
    captions: Batch | None

    @property
    def tokens(self) -> int:
        """Tokens of both that are not padding."""
        return self.streams.tokens + (self.captions.tokens if self.captions else 0)

    def to(self, device) -> StageBatch:
        """The same on another device."""
        return StageBatch(self.streams.to(device), self.captions and self.captions.to(device))


def window(triplet: Triplet, start: int, end: int) -> Triplet:
    """The part of a clip between two ticks: frames, samples and the cues and facts that begin inside.

    A sense of which nothing lies inside is absent from the part, as it would be from a clip.
    """

    def moved(cue):
        return replace(cue, start=cue.start - start, end=cue.end - start)

    inside = (triplet.frame_times >= start) & (triplet.frame_times < end)
    frames, audio = triplet.frames[inside], triplet.audio[start:end]
    absent = {sense for sense, content in (("image", frames), ("audio", audio)) if not len(content)}
    return replace(
        triplet,
        start=triplet.start + start,
        end=triplet.start + end,
        frames=frames,
        frame_times=triplet.frame_times[inside] - start,
        audio=audio,
        has=triplet.has - absent,
        cues=tuple(moved(cue) for cue in triplet.cues if start <= cue.start < end),
        facts=tuple(
            {**fact, "start": fact["start"] - start, "end": fact["end"] - start}
            for fact in triplet.facts
            if start <= fact["start"] < end
        ),
    )


class Mixture:
    """Batches of one stage.

    Parameters
    ----------
    films : clips read back from shards; in the omni stage one row of every batch is cut from them.
    """

    def __init__(self, config: Config, stage: str, films: list[Triplet] | None = None) -> None:
        if stage not in STAGES:
            raise CallFault(f"stage {stage!r}: use one of {', '.join(STAGES)}")
        self.config, self.stage = config, stage
        self.settings: StageConfig = getattr(config.training, stage)
        self.films = [f for f in films or [] if "text" in f.has]
        self.vocabulary = WorldVocabulary()

    def _script(self, sample: int) -> Script:
        """Whole rooms, as many as the stage's units need."""
        room_s = self.config.world.room_s
        seconds = -(-self.settings.units // room_s) * room_s
        seed = (self.config.seed * len(STAGES) + STAGES.index(self.stage)) * 1_000_000_000 + sample
        return write_script(seed, seconds, self.config.world)

    def _caption(self, script: Script, second: int, carrier: str, order: int) -> Sequence:
        config = self.config
        size, rate = config.model.image.size, config.triplets.frames_per_second
        return omni_stream(described(script, second, carrier, order, size, config.world, rate), config.sequence)

    def _order(self, step: int, number: int) -> int:
        """Describe first, find later: captions that look a word up begin when places can be described."""
        return number % (2 if step < self.settings.describe * self.settings.steps else 4)

    def _stream(self, script: Script, senses: tuple[str, ...]) -> Sequence:
        config = self.config
        rate = config.triplets.frames_per_second
        triplet = from_script(script, config.model.image.size, config.world, rate, senses=senses)
        return omni_stream(triplet, config.sequence)

    def _film(self, step: int) -> Sequence:
        """Some whole rooms of a shipped film."""
        film = self.films[step % len(self.films)]
        unit = round(self.config.sequence.unit_s * TICKS_PER_SECOND)
        room = self.config.world.room_s * TICKS_PER_SECOND
        length = min(self.settings.units * unit, film.duration)
        starts = max(1, (film.duration - length) // room + 1)
        start = (step // len(self.films)) % starts * room
        return omni_stream(window(film, start, start + length), self.config.sequence)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> StageBatch:
        """The rows of `step` that belong to `rank`."""
        total = self.settings.batch
        if total % ranks:
            raise CallFault(f"training.{self.stage}.batch={total}: does not divide over {ranks} processes")
        rows = [step * total + i for i in range(rank, total, ranks)]
        streams, captions = [], []
        for sample in rows:
            script = self._script(sample)
            if self.stage == "omni":
                if sample % total == 0 and self.films:
                    streams.append(self._film(step))
                    continue
                streams.append(self._stream(script, ("image", "audio", "text")))
                captions.append(self._caption(script, sample % script.seconds, "image", self._order(step, sample // 2)))
            elif self.stage == "vision":
                streams.append(self._stream(script, ("image", "text")))
                captions.extend(
                    self._caption(script, s, "image", self._order(step, sample // 2 * 2 + (sample + s) % 2))
                    for s in range(min(2, script.seconds))
                )
            else:
                streams.append(self._stream(script, ("audio", "text")))
                captions.extend(self._caption(script, s, "audio", 0) for s in range(min(2, script.seconds)))
        make = [make_batch(rows, self.vocabulary, self.config) if rows else None for rows in (streams, captions)]
        return StageBatch(*make)

    def batches(self, first: int, rank: int = 0, ranks: int = 1) -> Iterator[StageBatch]:
        """Batches from step `first` to the stage's end, each made while the one before is learned from."""
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self.batch, first, rank, ranks)
            for step in range(first, self.settings.steps):
                ready = ahead.result()
                if step + 1 < self.settings.steps:
                    ahead = pool.submit(self.batch, step + 1, rank, ranks)
                yield ready
