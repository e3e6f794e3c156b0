"""What a stage moves, and what its loss is made of: trained parts, loss by fact (notebook 04)."""

from __future__ import annotations

import random
from collections.abc import Callable

from omni_lab.check.step import Step

# --- which weights a stage moves


def _moving(names: list, train: list, rates: dict) -> list:
    """Weights that the package's own optimizers would move."""
    from omni_lab.config import StageConfig
    from omni_lab.training.optimizers import trains

    pairs = tuple(f"{part}={multiple}" for part, multiple in rates.items())
    stage = StageConfig(train=tuple(train), rates=pairs)
    return [name for name in names if trains(name, stage)]


def _of(name: str, part: str) -> bool:
    return f"{name}.".startswith(f"{part}.")


def _by(
    rated: Callable[[str, dict], float],
    within: Callable[[str, str], bool] = _of,
    passes: Callable[[float], bool] = lambda rate: rate > 0,
) -> Callable:
    """Mistake that finds a rate, or the part of a weight, in its own way."""

    def moving(names, train, rates):
        trained = (name for name in names if any(within(name, part) for part in train))
        return [name for name in trained if passes(rated(name, rates))]

    return moving


def _narrowest(name: str, rates: dict) -> float:
    parts = [part for part in rates if _of(name, part)]
    return rates[max(parts, key=len)] if parts else 1.0


def _widest(name: str, rates: dict) -> float:
    parts = [part for part in rates if _of(name, part)]
    return rates[min(parts, key=len)] if parts else 1.0


def _product(name: str, rates: dict) -> float:
    found = 1.0
    for part in rates:
        found *= rates[part] if _of(name, part) else 1.0
    return found


_NAMES = [
    "image.patch.weight", "image.blocks.0.up.weight", "audio.conv.weight", "connector.image.up.weight",
    "connector.image.place", "connector.audio.up.weight", "decoder.embed.weight",
]  # fmt: skip
_PARTS = ("image", "audio", "connector", "connector.image", "connector.audio", "decoder")


def _stages(source: random.Random) -> tuple:
    names = source.sample([*_NAMES, "images.weight", "decoder.norm.weight"], 6)
    train = source.sample(_PARTS, source.randrange(1, 4))
    rated = source.sample(_PARTS, source.randrange(0, 4))
    return names, train, {part: source.choice([0, 0.5, 1, 2]) for part in rated}


moving = Step(
    right=_moving,
    cases=[
        (_NAMES, ["image", "connector"], {}),
        (_NAMES, ["image", "connector"], {"connector.audio": 0}),
        (_NAMES, ["connector", "decoder"], {"connector": 0, "connector.image": 2}),
        (_NAMES, ["connector"], {"connector.image": 0, "connector": 2}),
        (_NAMES, ["connector.audio", "decoder"], {"decoder": 0.5}),
        (["images.weight", "image.bias", "decoder.norm.weight"], ["image", "decoder"], {"dec": 0}),
        (_NAMES, ["audio", "decoder"], {"audio": 0.5, "decoder": 0}),
        (_NAMES, ["image", "connector.audio"], {"audio": 0, "connector": 0, "image": 1}),
    ],
    rule="a weight moves if a part in `train` holds it, and the rate of the narrowest part that "
    "holds it is above 0, which it is where no part is named",
    mistakes=[
        (
            lambda names, train, rates: names,
            "every weight moves: only those of parts in `train` do",
        ),
        (
            _by(lambda name, rates: 1.0),
            "a rate of 0 stops a part, even where the stage trains it: look into `rates`",
        ),
        (
            _by(_widest),
            "the *narrowest* part decides: of `connector` and `connector.image`, the longer name",
        ),
        (
            _by(_product),
            "rates of a part and of its part are not multiplied: the narrowest one decides alone",
        ),
        (
            _by(lambda name, rates: _narrowest(name, rates) if any(_of(name, p) for p in rates) else 0.0),
            "a part whose rate is not named keeps the rate 1, and moves",
        ),
        (
            _by(_narrowest, passes=lambda rate: rate >= 1),
            "a part at half the rate moves too, only more slowly",
        ),
        (
            _by(_narrowest, passes=lambda rate: rate > 1),
            "a rate of 1 is the full rate: what has it moves",
        ),
        (
            _by(_narrowest, passes=lambda rate: rate <= 0),
            "the other way round: what has a rate above 0 moves",
        ),
        (
            lambda names, train, rates: [n for n in names if _narrowest(n, rates) > 0],
            "nobody asked whether the stage trains the part: look into `train` first",
        ),
        (
            lambda names, train, rates: [n for n in names if not any(_of(n, p) for p in train)],
            "these are the frozen ones: the parts in `train` move",
        ),
        (
            _by(_narrowest, within=lambda name, part: name.split(".")[0] == part),
            "a part may be a part of a part: `connector.audio` is inside `connector`, and other weights of it stay",
        ),
        (
            _by(_narrowest, within=lambda name, part: part.split(".")[0] == name.split(".")[0]),
            "`connector.audio` in `train` does not train the connector's other half",
        ),
        (
            _by(_narrowest, within=lambda name, part: name.startswith(part)),
            "`images.weight` begins with the letters of `image` and is no part of it: add the dot",
        ),
        (
            _by(_narrowest, within=lambda name, part: part in name),
            "`connector.image.up` has `image` in its name, and belongs to the connector: compare beginnings",
        ),
        (
            lambda names, train, rates: [n for n in rates if any(_of(n, p) for p in train)],
            "you go through the rates: go through the names of the weights",
        ),
        (
            lambda names, train, rates: [n for n in names if any(_of(n, p) for p in train) or _narrowest(n, rates) > 0],
            "both must hold: the stage trains it, *and* its rate is above 0",
        ),
    ],
    inputs=_stages,
    shows="8 stages; a rate of 0 freezes as surely as a part that is not named",
)  # fmt: skip

# --- loss by fact


def _by_fact(processes: list) -> dict:
    """Mean loss of every fact, by the package's own means over processes."""
    from omni_lab.training.losses.groups import means_by_group

    sums: list[dict] = []
    for tokens in processes:
        own: dict[str, tuple[float, float]] = {}
        for fact, loss in tokens:
            if fact is not None:
                total, count = own.get(f"facts.{fact}", (0.0, 0.0))
                own[f"facts.{fact}"] = total + loss, count + 1
        sums.append(own)
    return means_by_group(sums).get("facts", {})


def _flat(processes: list) -> list:
    return [pair for tokens in processes for pair in tokens if pair[0] is not None]


def _with(combine: Callable[[list, list], float]) -> Callable:
    """Mistake that makes one number of a fact's losses in its own way; it may see all pairs."""

    def by_fact(processes):
        pairs = _flat(processes)
        facts = dict.fromkeys(fact for fact, _ in pairs)
        return {
            fact: combine([loss for name, loss in pairs if name == fact], pairs) for fact in facts
        }

    return by_fact


def _of_means(processes: list) -> dict:
    means: dict[str, list[float]] = {}
    for tokens in processes:
        for fact, mean in _by_fact([tokens]).items():
            means.setdefault(fact, []).append(mean)
    return {fact: sum(own) / len(own) for fact, own in means.items()}


def _with_unknown(processes: list) -> dict:
    unknown = [loss for tokens in processes for fact, loss in tokens if fact is None]
    more = {None: sum(unknown) / len(unknown)} if unknown else {}
    return _by_fact(processes) | more


def _tokens(source: random.Random) -> tuple:
    facts = ("colour", "word", "beeps", None)
    return (
        [
            [(source.choice(facts), round(source.uniform(0.1, 5), 2)) for _ in range(source.randrange(1, 7))]
            for _ in range(source.randrange(1, 4))
        ],
    )  # fmt: skip


by_fact = Step(
    right=_by_fact,
    cases=[
        ([[("colour", 2.0), ("word", 3.0), ("colour", 1.0)]],),
        ([[("colour", 2.0), (None, 0.5), ("colour", 1.0)], [("colour", 4.0), ("word", 3.5)]],),
        ([[(None, 0.1)], [("beeps", 0.25)]],),
        ([[("word", 5.0)], [("word", 2.0), ("word", 2.0), ("word", 1.0)], []],),
    ],
    rule="add up the losses of each fact over all processes, and divide by how many tokens it had there",
    mistakes=[
        (
            _of_means,
            "a mean of means counts a process with one token as much as one with three: sums "
            "first",
        ),
        (
            _with(lambda own, pairs: sum(own)),
            "these are the sums: divide each by the number of its tokens",
        ),
        (
            _with(lambda own, pairs: sum(own) / len(pairs)),
            "you divide by the tokens of all facts: a rare fact then seems easy",
        ),
        (
            lambda processes: {
                fact: mean * len([n for n, _ in _flat(processes) if n == fact])
                / sum(map(len, processes))
                for fact, mean in _by_fact(processes).items()
            },
            "you divide by the number of all tokens: a rare fact then seems easy",
        ),
        (_with(lambda own, pairs: own[-1]), "only the last loss of each fact is left: add them up"),
        (_with(lambda own, pairs: own[0]), "only the first loss of each fact is left: add them up"),
        (
            _with(lambda own, pairs: sum(own) / (len(own) + 1)),
            "you divide by one more than the fact's tokens: begin to count at 0",
        ),
        (_with(lambda own, pairs: (1 + sum(own)) / len(own)), "the sum begins at 1: begin with 0"),
        (_with(lambda own, pairs: (sum(own) - 1) / len(own)), "the sum begins at −1: begin with 0"),
        (_with(lambda own, pairs: -sum(own) / len(own)), "the sign is wrong: losses are added"),
        (
            _with(lambda own, pairs: sum(own) * len(own)),
            "divide by the number of tokens; you multiply",
        ),
        (_with(lambda own, pairs: sum(own) // len(own)), "a mean is a fraction: /, not //"),
        (_with(lambda own, pairs: len(own)), "these are the numbers of tokens, not their losses"),
        (
            _with(lambda own, pairs: sum(own) / (2 * len(own))),
            "every token counts as two: add 1 for each",
        ),
        (
            lambda processes: _by_fact(processes[:1]),
            "only the first process is counted: the others have tokens too",
        ),
        (
            lambda processes: _by_fact(processes[-1:]),
            "only the last process is counted: collect the sums outside the loop over processes",
        ),
        (
            lambda processes: _by_fact([[(fact or str(None), loss) for fact, loss in tokens] for tokens in processes]),
            "None stands for a token whose fact nobody knows: leave it out",
        ),
        (
            _with_unknown,
            "None stands for a token whose fact nobody knows: leave it out of the table",
        ),
    ],
    inputs=_tokens,
    shows="every token counts once, whichever process it was in",
)  # fmt: skip
