"""Commands below `omni-lab sequences`: clips, films and documents as token sequences."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_lab.cli.commands import add_json, add_settings, answer, command, configured
from omni_lab.cli.triplets import clip_of
from omni_lab.config.types import FORMATS
from omni_lab.errors import UsageError

if TYPE_CHECKING:
    from omni_lab.config import Config

EXAMPLES = """omni-lab sequences show runs/triplets --clip 3 --format F4 --png sequence.png
  omni-lab sequences show talk.mp4
  omni-lab sequences show cat.jpg dog.jpg --text "A cat and a dog." """.rstrip()
ANY_LENGTH = 1 << 31  # tokens; a sequence is shown also where training refuses its length


def add_sequences(commands: Any) -> None:
    """Argument parsers of the commands below `omni-lab sequences`."""
    example = "omni-lab sequences show talk.mp4 --format F4"
    message = "token sequences of clips and documents, as a model is given them"
    sequences = command(commands, "sequences", message, example)
    inner = sequences.add_subparsers(title="commands", metavar="COMMAND")

    message = "token sequence of a clip, or of pictures and text, as a table and a picture"
    parser = command(inner, "show", message, EXAMPLES, sequences_show)
    _add_show(parser)


def _add_show(parser: argparse.ArgumentParser) -> None:
    """Options of `omni-lab sequences show`."""
    message = "folder of shards, film (cut on the fly; with the subtitles beside it), or pictures"
    parser.add_argument("targets", type=Path, nargs="+", metavar="TARGET", help=message)
    message = "clip of shards or film: a number from 0, or a clip_id (default: 0)"
    parser.add_argument("--clip", help=message)
    message = (
        "sequence format: stream, the omni stream of a clip; F0 to F4, the multi-image formats "
        "(default: stream; for pictures F4)"
    )
    parser.add_argument("--format", choices=("stream", *FORMATS), help=message)
    message = "text that follows the pictures; may be repeated"
    parser.add_argument("--text", action="append", default=[], help=message)

    message = "show also what has no supervised text"
    parser.add_argument("--unsupervised", action="store_true", help=message)
    message = "picture to write (or .pdf, .svg)"
    parser.add_argument("--png", type=Path, metavar="FILE", help=message)
    message = "tiny, small or full_7b (default: %(default)s)"
    parser.add_argument("--preset", default="tiny", help=message)
    add_settings(parser)
    add_json(parser)


def sequences_show(arguments: argparse.Namespace) -> None:
    """`omni-lab sequences show`: a token sequence as a table, with `--png` also as a picture."""
    config = configured(arguments.preset, arguments.settings)
    from omni_lab.data.vocabulary import build_vocabulary
    from omni_lab.sequences.formats import lay_out
    from omni_lab.sequences.table import facts_of, table
    from omni_lab.sequences.tokens import tokenize

    content, is_clip, notes = _content(arguments, config)
    layout = arguments.format or config.sequence.layout
    if layout == "stream" and not is_clip:
        if arguments.format:
            wrong = "the omni stream needs a clip, with times; pictures take F0 to F4"
            raise UsageError(f"--format stream: {wrong}")
        layout = "F4"

    shown = replace(config, sequence=replace(config.sequence, layout=layout, max_tokens=ANY_LENGTH))
    vocabulary = build_vocabulary(shown)
    sequence = lay_out(content, shown, supervised=not arguments.unsupervised)
    tokens = tokenize(sequence, vocabulary, shown.sequence)

    facts = {"layout": layout, **facts_of(sequence, tokens, vocabulary)}
    notes += _notes(facts, config)
    part = "unit" if layout == "stream" else "part"
    colour = not arguments.json and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = shutil.get_terminal_size((100, 24)).columns
    text = table(sequence, tokens, vocabulary, part, width, colour)
    text = "\n".join([f"layout  {layout}", text, *(["", *notes] if notes else [])])

    if arguments.png:
        from omni_lab.plots.style import save

        words = vocabulary.pieces(tokens.ids)
        save(_drawn(content, layout, sequence, tokens, words), arguments.png)
        text += f"\n\npicture: {arguments.png}"
    picture = {"picture": str(arguments.png)} if arguments.png else {}
    answer(arguments, {**facts, "notes": notes, **picture}, text)


def _content(arguments: argparse.Namespace, config: Config) -> tuple[Any, bool, list[str]]:
    """Content to lay out (clip or document), whether it is a clip, and notes about it."""
    from omni_lab.media.subtitles.reader import Cue
    from omni_lab.sequences.documents import as_document

    first, *others = arguments.targets
    is_clip = _is_clip(first)
    if wrong := next((target for target in others if is_clip or _is_clip(target)), None):
        right = "show one folder of shards, one film, or some pictures at a time"
        raise UsageError(f"{wrong}: {right}")

    if not is_clip:
        if arguments.clip is not None:
            right = "pictures have no clips; it goes with shards or a film"
            raise UsageError(f"--clip {arguments.clip}: {right}")
        # a cue stays text also where a file has its name
        texts = [Cue(0, 0, text) for text in arguments.text]
        return as_document([*arguments.targets, *texts], first.name), False, []

    if arguments.text:
        raise UsageError("--text goes with pictures; a clip has the text of its film")
    which = "0" if arguments.clip is None else arguments.clip
    if first.is_dir():
        return clip_of(first, which), True, []
    return _clip_of_film(first, which, config)


def _is_clip(target: Path) -> bool:
    """Whether a target holds clips: a folder of shards or a film."""
    from omni_lab.sequences.documents import is_film

    return target.is_dir() or is_film(target)


def _clip_of_film(film: Path, which: str, config: Config) -> tuple[Any, bool, list[str]]:
    """Clip of a film that `--clip` selects, cut on the fly, as `_content` returns it."""
    from omni_lab.triplets.cutting.film import clips_of_film
    from omni_lab.triplets.table import harmless

    source, clips = clips_of_film(film, config.triplets)
    number = count()
    for clip in clips:
        if which in (str(next(number)), clip.clip_id):
            return clip.decode(), True, [f"damaged: {harmless(error)}" for error in source.errors]
    raise UsageError(f"--clip {which}: {film} has {next(number)} clips, counted from 0")


def _notes(facts: dict[str, Any], config: Config) -> list[str]:
    """Notes on a sequence: words that became `<unknown>` or no token, a length over the maximum."""
    notes = []
    other = (
        f"preset {config.name} has the words of its world only; "
        "a pretrained tokenizer (full_7b) reads any text"
    )
    if facts["unknown"]:
        found = f"{facts['unknown']} of {facts['text_tokens']} text tokens are <unknown>"
        notes.append(f"unknown: {found}: {other}")
    if facts["wordless"]:
        notes.append(f"wordless: {facts['wordless']} texts left no token at all: {other}")
    most = config.sequence.max_tokens
    if facts["tokens"] > most:
        message = f"{facts['tokens']} tokens are more than sequence.max_tokens = {most}"
        notes.append(f"length: {message}; shown all the same, training would refuse it")
    return notes


def _drawn(content: Any, layout: str, sequence: Any, tokens: Any, words: list[str]) -> Any:
    """Figure of a sequence: over time for the stream, as a page for the multi-image formats."""
    if layout == "stream":
        from omni_lab.plots.data.sample import draw_sample

        return draw_sample(content, sequence, tokens)
    from omni_lab.plots.data.documents import draw_document

    return draw_document(sequence, tokens, words)
