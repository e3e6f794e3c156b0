"""File search of a build: the films and sounds in folders, and a count of what is passed over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from omni_lab.media.subtitles.names import folded

# Files that a folder is searched for; a file named on its own is tried whatever its extension.
# Left out are names that mostly mean something else: .avs and .ps (scripts), .mod (music), .dat.
EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        "264", "265", "3g2", "3ga", "3gp", "3gp2", "3gpp", "aa3", "aac", "ac3", "ac4", "adts",
        "aif", "aifc", "aiff", "amr", "amv", "ape", "asf", "au", "avc", "avi", "awb", "bik", "caf",
        "cine", "dav", "dif", "divx", "dsf", "dts", "dtshd", "dv", "dvr-ms", "eac3", "ec3", "evo",
        "f4a", "f4b", "f4p", "f4v", "flac", "flc", "fli", "flv", "gif", "gsm", "gxf", "h264",
        "h265", "h266", "hevc", "isma", "ismv", "ivf", "kux", "latm", "loas", "lxf", "m1v", "m2a",
        "m2p", "m2t", "m2ts", "m2v", "m4a", "m4b", "m4p", "m4r", "m4v", "mj2", "mjpeg", "mjpg",
        "mk3d", "mka", "mkv", "mlp", "mov", "mp1", "mp2", "mp2v", "mp3", "mp4", "mp4v", "mpa",
        "mpc", "mpe", "mpeg", "mpeg4", "mpg", "mpv", "mts", "mxf", "nsv", "nut", "nuv", "obu",
        "oga", "ogg", "ogm", "ogv", "ogx", "oma", "opus", "pva", "qcp", "qoa", "qt", "ra", "rf64",
        "rm", "rmvb", "roq", "shn", "smk", "snd", "spx", "swf", "tak", "thd", "tod", "tp", "trp",
        "ts", "tta", "vc1", "viv", "vob", "voc", "vqf", "vro", "vvc", "w64", "wav", "weba", "webm",
        "wma", "wmv", "wtv", "wv", "xvid", "y4m",
    )
)  # fmt: skip


def find(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Media files among the given paths and in the given folders, each once, in order.

    A path that is no folder with media files in it comes as it is, whether or not it exists.
    """
    found: dict[str, Path] = {}
    for path in _listed(paths):
        inside = sorted(
            p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file()
        )
        for file in inside or [path]:
            found.setdefault(os.path.realpath(file), file)  # `resolve` raises on a link to itself
    return list(found.values())


def passed_over(
    paths: str | Path | Iterable[str | Path], films: Iterable[Path], out: str | Path
) -> dict[str, int]:
    """Number of files by lower-cased extension that lie in searched folders and are no films.

    Files named after a film (`talk_en.srt`, `talk.truth.json`) go with it; hidden files and the
    shards in `out` are not counted either.

    Parameters
    ----------
    paths : as given to `find`
    films : as `find` returns them
    out : folder of the shards
    """
    films, own = set(films), os.path.realpath(out)
    named = {(film.parent, folded(film.stem)) for film in films}
    others: set[Path] = set()
    for path in _listed(paths):
        for file in path.rglob("*"):
            name = folded(file.name)
            stems = [name[:at] for at, character in enumerate(name) if not character.isalnum()]
            with_a_film = file in films or any((file.parent, stem) in named for stem in stems)
            if not name.startswith(".") and not with_a_film and file.is_file():
                others.add(file)

    away = (file for file in others if not os.path.realpath(file).startswith(own + os.sep))
    # a report is UTF-8, and a name need not be
    kinds = (file.suffix.lower().encode(errors="backslashreplace").decode() for file in away)
    return dict(sorted(Counter(kinds).items()))


def _listed(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    return [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
