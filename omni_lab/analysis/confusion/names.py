"""Names of columns and of modalities in tables of answers: what each column is, told by its name.

What cannot be told is refused with the candidates by name, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from omni_lab.analysis.logs.names import column_named, is_step, listed, words
from omni_lab.errors import InputError, UsageError

SENSES = ("image", "audio", "text")
OPTION = "--column"
_ALIKE = {
    "image": "image images img picture pictures photo frame frames video videos visual visuals "
    "visually vision seen sight shown",
    "audio": "audio audios sound sounds speech spoken voice auditory acoustic heard hearing wave",
    "text": "text texts textual caption captions subtitle subtitles written writing words ocr",
}
_SENSE_OF = {word: sense for sense, many in _ALIKE.items() for word in many.split()}
# words that may stand beside the name of a sense without making it another thing
_BESIDE = {"modality", "sense", "content", "contents", "says", "said", "say", "answer", "value",
           "label", "cue"}  # fmt: skip
# of two columns the one named first here; those of all other roles are as good as each other
_ORDERED = {
    "asked": "asked, asked modality, modality asked, asked sense, question modality, question sense, "
    "query modality, queried modality, target modality, modality, sense, target",
    "item": "pair id, pair, item id, item, twin id, clip id, clip, sample id, example id, "
    "question id, uid, id",
}  # fmt: skip
_NAMES = {
    "answer": "answer, prediction, predicted, pred, response, output, completion, generation, "
    "given answer, answer given, model answer, model response, model output, predicted answer",
    "followed": "followed, followed modality, modality followed, followed sense, follows",
    "condition": "condition, variant, intervention, perturbation, ablation, control",
    "correct": "correct, is correct, right, is right, hit, match, accuracy, acc",
    "label": "label, truth, ground truth, gold, gold answer, gt, reference, expected, target answer, "
    "correct answer, true answer, expected answer",
    "model": "model, model name, model id, system",
    "checkpoint": "checkpoint, ckpt, revision, run",
}  # fmt: skip
GROUPS = ("model", "checkpoint", "step")
ROLES = ("asked", "answer", "followed", *SENSES, "item", "condition", "correct", "label", *GROUPS)
_MEANING = {
    "asked": "which modality is asked",
    "answer": "what was answered",
}


def sense_of(text: str) -> str | None:
    """Modality that a word stands for, with or without words such as `modality` beside it.

    >>> sense_of("Visual"), sense_of("audio_content"), sense_of("image path"), sense_of("smell")
    ('image', 'audio', None, None)
    """
    kept = [word for word in words(text) if word not in _BESIDE]
    return _SENSE_OF.get(kept[0]) if len(kept) == 1 else None


def senses_in(found: Iterable[str]) -> list[str]:
    """Modalities that words stand for, in the order of the package, each once."""
    known = {_SENSE_OF[word] for word in found if word in _SENSE_OF}
    return [sense for sense in SENSES if sense in known]


def is_known(name: str) -> bool:
    """Whether a column's name tells what it is."""
    return any(_candidates(role, [name]) for role in ROLES)


def find_columns(header: Sequence[str], mapped: Mapping[str, str], where: str) -> dict[str, int]:
    """Place of every column by what it is: as mapped, or else by its name.

    Parameters
    ----------
    mapped : role → name of a column; an empty name leaves the role out
    where : the file, for messages

    >>> find_columns(["Question modality", "response", "visual", "sound"], {}, "a.csv")
    {'asked': 0, 'answer': 1, 'image': 2, 'audio': 3}

    Raises
    ------
    InputError
        what is needed cannot be told by name, or a name that is used stands twice in the header
    UsageError
        there is no such role, or no such column
    """
    for role in mapped:
        if role not in ROLES:
            raise UsageError(f"{OPTION} {role}: no such role; there are {', '.join(ROLES)}")
    taken = {role: column_named(n, header, f"{OPTION} {role}=") for role, n in mapped.items() if n}
    free = [name for name in header if name not in taken.values()]
    found = {}
    for role in ROLES:
        if role not in mapped and _asked_for(role, found):
            name = _by_name(role, free, where)
            found |= {} if name is None else {role: name}
        elif role in taken:
            found[role] = taken[role]
    _check(found, header, where)
    return {role: header.index(name) for role, name in found.items()}


def _asked_for(role: str, found: Mapping[str, str]) -> bool:
    """Whether a role is looked for: what says it already, or has no use, need not be told."""
    if role in ("answer", *SENSES):
        return "followed" not in found
    return role not in ("correct", "label") or ("condition" in found and "correct" not in found)


def _by_name(role: str, free: Sequence[str], where: str) -> str | None:
    """Column whose name tells the role."""
    found = list(dict.fromkeys(_candidates(role, free)))
    if len(found) > 1 and role not in _ORDERED:
        right = f"{OPTION} {role}=NAME says"
        raise InputError(f"{where}: which column is {role}? {listed(found)}; {right}")
    return found[0] if found else None


def _candidates(role: str, free: Sequence[str]) -> list[str]:
    """Columns whose names tell the role, in the order of preference."""
    if role in SENSES:
        return [name for name in free if sense_of(name) == role]
    if role == "step":
        return [name for name in free if is_step(name)]
    known = (_ORDERED | _NAMES)[role].split(", ")
    said = {name: " ".join(words(name)) for name in free}
    return sorted((n for n in free if said[n] in known), key=lambda n: known.index(said[n]))


def _check(found: Mapping[str, str], header: Sequence[str], where: str) -> None:
    """Refusal of a table that lacks what is needed, or has a used name twice."""
    needed = ("asked",) if "followed" in found else ("asked", "answer")
    for role in needed:
        if role not in found:
            wrong, right = f"no column says {_MEANING[role]}", f"{OPTION} {role}=NAME says"
            raise InputError(f"{where}: {wrong}; there are {listed(list(header))}; {right}")
    contents = [sense for sense in SENSES if sense in found]
    if "followed" not in found and len(contents) < 2:
        wrong = f"{contents[0] if contents else 'no sense'} alone has a column of its content"
        right = f"name two or more, such as {OPTION} image=NAME audio=NAME, or followed=NAME"
        raise InputError(f"{where}: {wrong}; there are {listed(list(header))}; {right}")
    for role, name in found.items():
        if header.count(name) > 1:
            raise InputError(f"{where}:1: two columns are named {name!r} ({role}); rename one")
        if same := [r for r, n in found.items() if n == name and r != role]:
            raise UsageError(f"{OPTION} {role}={name}: that column is {same[0]} already")
