"""Text beside a film: the subtitle files that belong to it, the one that is read, and the others.

Whatever stands under a film's name is used, or said to be unused and why; what stands under the
name of another film belongs to that one.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from omni_lab.media.errors import MediaError, SubtitleError
from omni_lab.media.languages import language_rank
from omni_lab.media.probe import open_media
from omni_lab.media.subtitles.encodings import decode_text
from omni_lab.media.subtitles.names import Tags, behind, folded, read_tags
from omni_lab.media.subtitles.reader import Cue, names_voices, read_subtitles

# extensions of timed text, the preferred first; a reader that lacks its form says so
FORMS = (
    ".vtt", ".srt", ".ass", ".ssa", ".ttml", ".sbv", ".smi", ".sami", ".dfxp", ".itt", ".xml",
    ".sub", ".mpl", ".mpl2", ".txt", ".lrc", ".json3", ".srv3", ".srv2", ".srv1", ".stl", ".scc",
    ".usf", ".mks", ".idx", ".sup",
)  # fmt: skip
PICTURES = (".idx", ".sup")  # subtitles of DVD and Blu-ray
NAMED = 8  # unused files that are named one by one


class Text(NamedTuple):
    """Text of a film from the files beside it."""

    cues: tuple[Cue, ...]
    file: Path | None  # that the cues were read from; None where no file holds any
    unused: tuple[str, ...]  # lines: files that are not used, and why


class Sidecars(NamedTuple):
    """Subtitle files beside a film."""

    files: list[Path]  # best first
    strange: list[tuple[str, str]]  # names, each with a word that is no language and no audience
    others: list[str]  # names that say a language of this film, were they not another film's


def read_beside(path: str | Path, language: str = "en", rate: float | None = None) -> Text:
    """Cues of the best subtitle file beside a film, and a line for each reason not to use others.

    A second file of the same name is no loss if its entries have the same times.

    Parameters
    ----------
    path : the film
    language : the wanted one, two or three letters
    rate : the film's frames per second, for text that is timed in frames
    """
    found = sidecars(path, language)
    cues, used, unused = (), None, []
    waiting = iter(found.files)
    for file in waiting:
        try:
            cues = _read(file, language, rate)
        except SubtitleError as error:
            unused.append(str(error))
            continue
        if cues:
            used = file
            break
        unused.append(f"{file}: subtitles without text")

    left = [file for file in waiting if not _repeats(file, used, cues, language, rate)]
    if left:
        names = _listed([file.name for file in left])
        unused.append(f"{names} beside the film: not used, since {used.name} is")
    if found.strange:
        names = _listed([name for name, _ in found.strange])
        words = _listed(list(dict.fromkeys(f"'{word}'" for _, word in found.strange)))
        stem = Path(path).stem
        unused.append(
            f"{names} beside the film: not used, since its language cannot be told from {words}; "
            f"text of this film is named {stem}.srt or {stem}.en.srt"
        )
    if found.others:
        unused.append(
            f"{_listed(found.others)} beside the film: not used, since it is another film's"
        )
    return Text(cues, used, tuple(unused))


def sidecars(path: str | Path, language: str = "en") -> Sidecars:
    """Subtitle files beside a film, best first; only the first that holds cues is used.

    A file `film.vtt`, `film.en.vtt` or `film_English (SDH).vtt` belongs to `film.mp4`, unless there
    is a film `film.en.mp4`. One in the wanted or an unknown language comes before one in another, a
    complete one before one with forced lines only; then VTT if it names voices, else SRT, else the
    rest.

    Parameters
    ----------
    path : the film
    language : the wanted one, two or three letters
    """
    film = Path(path)
    # plain names first: of the ten thousand in a folder, few become paths
    fold = folded(film.stem)
    names = sorted(name for name in os.listdir(film.parent) if folded(name).startswith(fold))
    films = _named({film.name, *(name for name in names if not name.lower().endswith(FORMS))})

    found, strange, others = [], [], []
    for name in names:
        file, form = film.with_name(name), Path(name).suffix.lower()
        rest = behind(folded(name), (fold, folded(film.name)))
        if rest is None or form not in FORMS or name == film.name:
            continue
        if file.exists() and not file.is_file():  # a folder; a link to nothing is reported
            continue
        tags = read_tags(rest.removesuffix(form))
        if _is_of_another(file, film, films):
            others += [] if tags.strange else [_printable(name)]
        elif tags.strange:
            strange.append((_printable(name), _printable(tags.strange[0])))
        else:
            found.append((*_rank(file, form, tags, language), name, file))
    return Sidecars([entry[-1] for entry in sorted(found)], strange, others)


def _named(names: Iterable[str]) -> dict[str, list[str]]:
    """File names by what text of theirs is named after: by their stem, and by all of them."""
    named: dict[str, list[str]] = {}
    for name in names:
        for key in (folded(Path(name).stem), folded(name)):
            named.setdefault(key, []).append(name)
    return named


def _is_of_another(file: Path, film: Path, films: dict[str, list[str]]) -> bool:
    """Whether a file's name begins with more of another film's name, or in the very case of it."""
    name, own = folded(file.name), folded(film.stem)
    ends = [at for at in range(len(name) - 1, len(own) - 1, -1) if not name[at].isalnum()]
    for at in ends:
        rivals = films.get(name[:at], [])
        if film.name in rivals:
            exact = [rival for rival in rivals if _in_case(file.name, rival)]
            rivals = [] if film.name in exact else exact
            return any(_is_film(file.with_name(rival), film) for rival in rivals)
        if any(_is_film(file.with_name(rival), film) for rival in rivals):
            return True
    return False


def _in_case(name: str, film: str) -> bool:
    """Whether a name begins with a film's, capitals included."""
    return unicodedata.normalize("NFC", name).startswith(
        unicodedata.normalize("NFC", Path(film).stem)
    )


def _is_film(file: Path, like: Path) -> bool:
    """Whether a file is a film: one with the extension of a film is taken for one unopened."""
    if file.suffix == like.suffix:
        return True
    try:
        with open_media(file):
            return True
    except MediaError:
        return False


def _rank(file: Path, form: str, tags: Tags, language: str) -> tuple:
    """Sort key of a subtitle file: the smaller, the better."""
    order = FORMS.index(form)
    if form == ".vtt" and not _has_voices(file):
        order = FORMS.index(".srt") + 0.5
    found = language_rank(tags.language, language)
    return found == 2, tags.forced, tags.by_machine, order, found, tags.copy


def _has_voices(file: Path) -> bool:
    try:
        return names_voices(decode_text(file.read_bytes()).text)
    except OSError:  # reported when the file is read
        return False


def _read(file: Path, language: str, rate: float | None) -> tuple[Cue, ...]:
    """Cues of a file; pictures of text are refused unread."""
    if file.suffix.lower() in PICTURES or (
        file.suffix.lower() == ".sub" and file.with_suffix(".idx").exists()
    ):
        raise SubtitleError(file, "pictures of text, which are not read")
    return read_subtitles(file, language, rate)


def _repeats(
    file: Path, used: Path, cues: tuple[Cue, ...], language: str, rate: float | None
) -> bool:
    """Whether a file is the used one in another form: its name is the same, and so are its times."""
    if file.stem != used.stem:
        return False
    try:
        others = _read(file, language, rate)
    except SubtitleError:
        return False
    return [(cue.start, cue.end) for cue in others] == [(cue.start, cue.end) for cue in cues]


def _listed(names: list[str]) -> str:
    """Names in a row, the rest of many counted."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _printable(text: str) -> str:
    """Text as UTF-8 can hold it: a file's name need not be."""
    return text.encode(errors="backslashreplace").decode()
