"""What a stage learns from: scripts of the world, and clips of real shards, mixed into batches.

A batch is a function of (seed, stage, step, rank): a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from jaxtyping import Float, Float32
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from omni_lab.attention.exchange import Exchange
from omni_lab.config import TICKS_PER_SECOND, Config, StageConfig
from omni_lab.errors import CallFault
from omni_lab.model.shards import share_out
from omni_lab.sequences.batch import Batch, make_batch
from omni_lab.sequences.items import Sequence, SequenceFault
from omni_lab.sequences.stream import omni_stream, unit_ticks
from omni_lab.sequences.vocabulary import build_vocabulary
from omni_lab.triplets.record import Triplet
from omni_lab.triplets.scripted import described, from_script
from omni_lab.world.questions import FACTS
from omni_lab.world.script import Script, write_script
from omni_lab.world.voice import rehearse

STAGES = ("vision", "audio", "omni")
BY_EAR = {fact for fact, (carriers, _, _) in FACTS.items() if {"image", "audio"} <= set(carriers)}  # found by ear
SENSES = {"vision": ("image", "text"), "audio": ("audio", "text"), "omni": ("image", "audio", "text")}


@dataclass
class StageBatch:
    """What one step of one process learns from: streams with questions, and single seconds out of them."""

    streams: Batch
    captions: Batch | None  # seconds described, or asked about alone: units of `streams`, encoded once for both
    seen: Float[Tensor, "U image_tokens D"] | None = None  # what `streams` point into, where it is encoded already

    @property
    def tokens(self) -> int:
        """Tokens of both that are not padding."""
        return self.streams.tokens + (self.captions.tokens if self.captions else 0)

    def to(self, device) -> StageBatch:
        """The same on another device."""
        seen = None if self.seen is None else self.seen.to(device)
        return StageBatch(self.streams.to(device), self.captions and self.captions.to(device), seen)

    def shared(self, exchange: Exchange, strength: Float32[Tensor, "M M"] | None) -> StageBatch:
        """This rank's part of a batch that all ranks of a ring have in full.

        Raises
        ------
        CallFault
            it has captions, which are short, and are shared out whole by data parallel training
        """
        if self.captions is not None:
            raise CallFault("training.ring shares long rows of streams; this stage has captions: use training.ring=1")
        return StageBatch(share_out(self.streams, exchange, strength), None, self.seen)


class Mixture:
    """Batches of one stage.

    Parameters
    ----------
    films : clips read back from shards; in the omni stage one row of every batch is cut from them.
    """

    def __init__(self, config: Config, stage: str, films: list[Triplet] | None = None) -> None:
        if stage not in STAGES:
            raise CallFault(f"stage {stage!r}: use one of {', '.join(STAGES)}")
        if "audio" in SENSES[stage] and config.sequence.layout != "stream":
            says = f"has no place for the sound that the stage {stage!r} learns from; use sequence.layout=stream"
            raise CallFault(f"sequence.layout={config.sequence.layout} {says}")
        self.config, self.stage = config, stage
        self.settings: StageConfig = getattr(config.training, stage)
        self.films = [f for f in films or [] if "text" in f.has]
        self.vocabulary = build_vocabulary(config)
        self.senses = SENSES[stage]
        self.carrier = self.senses[0]  # the sense whose units are counted, and described in single seconds

    def _script(self, sample: int) -> Script:
        """Whole rooms, as many as the stage's units need."""
        room_s = self.config.world.room_s
        seconds = -(-self.settings.units // room_s) * room_s
        seed = (self.config.seed * len(STAGES) + STAGES.index(self.stage)) * 1_000_000_000 + sample
        calm = self.stage == "omni" and sample % 16 == 3  # some streams are as quiet as the films
        return write_script(seed, seconds, self.config.world, calm=calm, senses=self.senses)

    def _clip(self, script: Script) -> Triplet:
        rate = self.config.triplets.frames_per_second
        return from_script(script, self.config.model.image.size, self.config.world, rate, senses=self.senses)

    def _order(self, step: int, number: int) -> int:
        """Find first, describe later: looking a word up is learned in 200 steps alone, hardly ever beside the rest."""
        finds = step < self.settings.find * self.settings.steps
        return 2 + number % 2 if finds else number % 4

    def _captions(self, clip: Triplet, script: Script, step: int, sample: int) -> Iterator[tuple[int, Triplet]]:
        """What single seconds of a clip teach beside the whole of it, each with its second.

        Unimodal stages describe every second. The omni stage takes out of every room a second in which something has to
        be found by ear: alone, with that question only, it is learned sooner than in the midst of a long stream.
        """
        if self.stage != "omni":
            for second in range(script.seconds):
                order = self._order(step, sample + second)
                yield second, described(clip, script, second, self.carrier, order)
            return
        for first in range(0, script.seconds, script.room_s):
            by_ear = [q.second for q in script.questions if q.fact in BY_EAR and 0 <= q.second - first < script.room_s]
            if by_ear:
                second = by_ear[sample % len(by_ear)]
                yield second, _by_ear_alone(clip.window(second * TICKS_PER_SECOND, (second + 1) * TICKS_PER_SECOND))

    def _film(self, step: int) -> Triplet:
        """Some whole rooms of a shipped film."""
        film = self.films[step % len(self.films)]
        room = self.config.world.room_s * TICKS_PER_SECOND
        length = min(self.settings.units * unit_ticks(self.config.sequence), film.duration)
        starts = max(1, (film.duration - length) // room + 1)
        start = (step // len(self.films)) % starts * room
        return film.window(start, start + length)

    def _laid_out(self, clip: Triplet) -> Sequence:
        return omni_stream(clip, self.config.sequence, supervised=False)  # to listen only is worth learning too

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> StageBatch:
        """The rows of `step` that belong to `rank`."""
        samples = samples_of(self.stage, self.settings.batch, step, rank, ranks)
        whole: list[Sequence] = []
        alone: list[Sequence] = []  # single seconds
        at: list[int] = []  # which unit each of them is, among all units of the streams
        units = 0
        for sample in samples:
            if self.films and self.stage == "omni" and sample == step * self.settings.batch:
                whole.append(self._laid_out(self._film(step)))
            else:
                script = self._script(sample)
                clip = self._clip(script)
                whole.append(self._laid_out(clip))
                for second, part in self._captions(clip, script, step, sample):
                    alone.append(self._laid_out(part))
                    at.append(units + second)
            units += len(whole[-1].waves if self.carrier == "audio" else whole[-1].frames)
        streams, captions = (
            make_batch(rows, self.vocabulary, self.config) if rows else None for rows in (whole, alone)
        )
        return StageBatch(streams, captions and captions.share(at))

    def batches(self, first: int, rank: int = 0, ranks: int = 1) -> Iterator[StageBatch]:
        """Batches from step `first` to the stage's end."""
        if "audio" in self.senses and first < self.settings.steps:
            rehearse()
        yield from made_ahead(self.batch, range(first, self.settings.steps), rank, ranks)


def samples_of(stage: str, batch: int, step: int, rank: int, ranks: int) -> range:
    """Numbers of the samples of one step that belong to one rank.

    Raises
    ------
    CallFault
        the batch does not divide over the ranks
    """
    if batch % ranks:
        raise CallFault(f"training.{stage}.batch={batch}: does not divide over {ranks} processes")
    return range(step * batch + rank, (step + 1) * batch, ranks)


def _by_ear_alone(moment: Triplet) -> Triplet:
    """The clip with no other exchange than the one that is answered by finding what is heard."""
    answers = {fact["start"] for fact in moment.facts if fact["fact"] in BY_EAR}
    exchanges = (pair for pair in pairwise(moment.cues) if pair[1].start in answers)
    return replace(moment, cues=tuple(cue for pair in exchanges for cue in pair))


def made_ahead(
    make: Callable[[int, int, int], StageBatch], steps: range, rank: int, ranks: int
) -> Iterator[StageBatch]:
    """Batches that `make` gives for (step, rank, ranks), from a process of their own while the last is learned from.

    A thread would not do: making a batch is Python's work, and would hold up every operation of the model.

    Raises
    ------
    SequenceFault, CallFault
        as `make`
    """
    if not steps:
        return
    loader = DataLoader(
        _Steps(make, rank, ranks), batch_size=None, sampler=steps, num_workers=1, prefetch_factor=2,
        worker_init_fn=_leave_ctrl_c,
    )  # fmt: skip
    for made in loader:
        if isinstance(made, SequenceFault | CallFault):
            raise made
        yield made


class _Steps(Dataset):
    """The batches of a stage by step, as a map that a loader can walk."""

    def __init__(self, make: Callable[[int, int, int], StageBatch], rank: int, ranks: int) -> None:
        self.make, self.rank, self.ranks = make, rank, ranks

    def __getitem__(self, step: int) -> StageBatch | SequenceFault | CallFault:
        try:
            return self.make(step, self.rank, self.ranks)
        except (SequenceFault, CallFault) as fault:
            return fault  # raised here, its one line would arrive as a page of the loader's own


def _leave_ctrl_c(worker: int) -> None:
    """Ctrl-C is the loop's to handle: the worker goes on until it is told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
