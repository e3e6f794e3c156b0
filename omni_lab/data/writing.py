"""Stage format: how a stage writes documents, which modalities it reads, how long they become.

Every source of a stage writes through one `Writing`: the stage's layout and row length, its
vocabulary, and the modalities that it trains on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from omni_lab.config import TICKS_PER_SECOND, Config, StageConfig, config_hash, to_dict
from omni_lab.config.renamed import first_named
from omni_lab.data.documents import seed_of
from omni_lab.errors import UsageError
from omni_lab.sequences.formats import FORMATS, lay_out
from omni_lab.sequences.items import IMAGE_START, TEXT_END, Sequence
from omni_lab.sequences.stream import unit_ticks
from omni_lab.sequences.tokens import Tokens, tokenize
from omni_lab.sequences.vocabulary import Vocabulary, has_control
from omni_lab.triplets.record import Triplet

WANTED = {"image": "picture", "audio": "sound"}  # in the words of messages
WIDEST = 1 << 40  # tokens: no document is refused while it is measured


@dataclass(frozen=True)
class Writing:
    """Layout, vocabulary and modalities of one stage.

    Parameters
    ----------
    stage : name, for messages
    config : with the stage's layout and row length in `sequence`
    vocabulary : that text and control tokens are written in
    modalities : that the stage reads, of image, audio, text
    seconds : of film in one sample, at most
    seed : of the stage's orders
    """

    stage: str
    config: Config
    vocabulary: Vocabulary
    modalities: frozenset[str]
    seconds: int
    seed: int

    @property
    def row(self) -> int:
        """Length of a row, tokens."""
        return self.config.sequence.max_tokens

    @property
    def streams(self) -> bool:
        """Whether documents become omni streams, not one of the formats for many images."""
        return self.config.sequence.layout == "stream"

    @property
    def unit(self) -> int:
        """Length of a unit of the omni stream, ticks."""
        return unit_ticks(self.config.sequence)

    @property
    def piece(self) -> int:
        """Longest piece of a film, ticks: whole units, one at least."""
        return max(1, self.seconds * TICKS_PER_SECOND // self.unit) * self.unit

    def lay_out(self, content: Any) -> Sequence:
        """Content in the stage's layout; one without text is kept, to be seen and heard."""
        return lay_out(content, self.config, supervised=False)

    def tokens(self, sequence: Sequence) -> Tokens:
        """Token arrays of a sequence.

        Raises
        ------
        SequenceError
            it is longer than a row
        """
        return tokenize(sequence, self.vocabulary, self.config.sequence)

    def length(self, sequence: Sequence) -> int:
        """Length of a sequence, tokens, however long it is; 0 without an item."""
        if not sequence.items:
            return 0
        settings = replace(self.config.sequence, max_tokens=WIDEST)
        return len(tokenize(sequence, self.vocabulary, settings).ids)

    def lack(self, has: Collection[str]) -> str | None:
        """What content with these modalities lacks for the stage; None where it can be used."""
        if "text" in self.modalities and "text" not in has:
            return "without text"
        needed = [name for name in WANTED if name in self.modalities]
        if needed and not set(needed) & set(has):
            return "without " + " or ".join(WANTED[name] for name in needed)
        return None

    @property
    def format(self) -> dict[str, Any]:
        """Settings that decide a document's tokens, by dotted key: all but the length of a row."""
        sequence, image = first_named(to_dict(self.config.sequence)), self.config.model.image
        del sequence["max_tokens"]
        return {
            **{f"sequence.{name}": value for name, value in sequence.items()},
            "model.image.size": image.size, "model.image.patch": image.patch,
            "modalities": sorted(self.modalities), "seconds": self.seconds,
            "vocabulary": hash_of(self.vocabulary),
        }  # fmt: skip

    def fingerprint(self, *data: Any) -> str:
        """Hash of data (JSON values) and of every setting that decides documents and lengths."""
        sequence, image = self.config.sequence, self.config.model.image
        made_by = [
            config_hash(sequence), image.size, image.patch, sorted(self.modalities), self.seconds,
            hash_of(self.vocabulary), *data,
        ]  # fmt: skip
        return config_hash(made_by)


def writing_of(config: Config, stage: StageConfig, vocabulary: Vocabulary) -> Writing:
    """The format of a stage.

    A stage that trains the image part and not the audio part reads pictures and text, and the
    other way round; one that trains both, or neither, reads everything.

    Raises
    ------
    UsageError
        the layout has no place for sound that the stage trains on, the vocabulary lacks its
        marks, or it is no layout of films and pairs
    """
    layout = config.sequence.layout if stage.layout == "same" else stage.layout
    trained = {"image", "audio"} & set(stage.train)
    modalities = trained or {"image", "audio"}
    if layout not in ("stream", *FORMATS):
        right = f"use stream, or one of {', '.join(FORMATS)}"
        raise UsageError(f"stage {stage.name}: layout {layout!r} is the gallery's alone; {right}")
    if layout != "stream":
        if "audio" in trained:
            message = f"layout {layout} has no place for the sound that it trains on; use stream"
            raise UsageError(f"stage {stage.name}: {message}")
        modalities = {"image"}
        _check_marks(stage.name, layout, vocabulary)

    row = stage.max_tokens or config.sequence.max_tokens
    sequence = replace(config.sequence, layout=layout, max_tokens=row)
    return Writing(
        stage.name,
        replace(config, sequence=sequence),
        vocabulary,
        frozenset({*modalities, "text"}),
        stage.seconds,
        seed_of(config.seed, stage.name),
    )


def _check_marks(stage: str, layout: str, vocabulary: Vocabulary) -> None:
    """Refuse a format whose marks around an image the vocabulary does not have."""
    if FORMATS[layout].marks and not has_control(vocabulary, IMAGE_START):
        right = f"set sequence.layout={layout}, or data.tokenizer"
        raise UsageError(f"stage {stage}: layout {layout} needs {IMAGE_START} tokens; {right}")


def hash_of(vocabulary: Vocabulary) -> str:
    """Hash of a vocabulary: its size, its end of a text, and every token where it can tell them."""
    backend = getattr(getattr(vocabulary, "tokenizer", None), "backend_tokenizer", None)
    words = getattr(vocabulary, "tokens", ())
    text = backend.to_str() if backend else "\0".join(words)
    if has_control(vocabulary, TEXT_END):
        text += f"\0{TEXT_END}={vocabulary.control(TEXT_END)}"
    return hashlib.blake2b(f"{len(vocabulary)}\0{text}".encode(), digest_size=8).hexdigest()


def with_role(clip: Triplet, role: str) -> Triplet:
    """The clip with its text given to a role, where no text of it names one.

    Subtitles of most films name no speaker: the model then learns to write all of them, as it does
    in the formats for many images.
    """
    if any(cue.role for cue in clip.cues):
        return clip
    return replace(clip, cues=tuple(replace(cue, role=role) for cue in clip.cues))
