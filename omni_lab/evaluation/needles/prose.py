"""Haystack filler text: an endless supply of sentences about a day in the gallery.

No sentence holds a digit or the name of a town, so that a needle, which holds both
(`needles.passage`), has no competitor.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

_WORDS = {
    "who": (
        "the guide", "the painter", "a visitor", "the caretaker", "a student", "the sculptor",
        "an old man", "the director", "a child", "the restorer", "a photographer",
        "the night watch", "her sister", "a musician",
    ),
    "thing": (
        "portrait", "landscape", "sketch", "vase", "mask", "tapestry", "bronze", "engraving",
        "mirror", "map", "carved box", "photograph", "still life", "clay figure", "harbour scene",
        "winter scene",
    ),
    "colour": (
        "red", "white", "yellow", "green", "blue", "purple", "black", "grey", "silver", "pale",
        "dark", "golden",
    ),
    "shape": (
        "round", "square", "narrow", "tall", "broken", "heavy", "small", "flat", "plain", "curved",
    ),
    "room": (
        "the first room", "the long hall", "the east wing", "the entrance", "the garden room",
        "the attic", "the library", "the stairway", "the workshop", "the cloakroom",
        "the reading corner", "the courtyard",
    ),
    "when": (
        "in the morning", "at noon", "after lunch", "before closing", "on rainy days", "in spring",
        "late in autumn", "every week", "at dusk", "once a year", "during the holidays",
        "on quiet days",
    ),
    "how": (
        "slowly", "with care", "in silence", "without hurry", "by hand", "patiently", "once more",
        "bit by bit",
    ),
    "stuff": (
        "oil", "chalk", "ink", "linen", "glass", "wax", "stone", "paper", "copper", "oak", "wool",
        "clay",
    ),
    "light": ("the window", "a lamp", "the skylight", "a candle", "the open door", "the street"),
}  # fmt: skip
_SENTENCES = (
    "{who} walks through {room} {when}.",
    "{when}, {who} opens the shutters of {room}.",
    "A {colour} {thing} hangs beside the {shape} mirror.",
    "Nobody remembers who made the {shape} {thing} in {room}.",
    "{who} looks at the {colour} {thing} and says nothing.",
    "Light from {light} falls on the {colour} frame.",
    "The {thing} was painted {how}, in {stuff} on {stuff}.",
    "{who} writes a letter about the {colour} {thing}.",
    "In {room} it smells of {stuff} and of rain.",
    "{when} the floor of {room} is swept {how}.",
    "{who} asks {who} where the {thing} has gone.",
    "The {shape} {thing} came to the gallery as a gift.",
    "Behind the {colour} curtain stands a {shape} chair.",
    "{who} hums a song in {room} {when}.",
    "They moved the {thing} from {room} to {room} {how}.",
    "A crack runs through the {stuff} of the {shape} {thing}.",
    "{who} has drawn the same {thing} {how}, year after year.",
    "{when}, the bells can be heard as far as {room}.",
    "The catalogue calls it a {colour} {thing} of unknown origin.",
    "{who} prefers {stuff} to {stuff}, and says so {how}.",
    "Dust settles {how} on the {shape} {thing}.",
    "In the corner of {room} sleeps a {colour} cat.",
    "{who} lends {who} a {shape} pencil.",
    "The door to {room} stays shut {when}.",
    "From {light} the {thing} looks almost {colour}.",
    "{who} wraps the {thing} in {stuff} {how}.",
    "Some say the {colour} {thing} is a copy.",
    "{when} {who} takes the {shape} key from its hook.",
    "The label under the {thing} has faded to {colour}.",
    "{who} tells a story about {room} {how}.",
    "Rain taps on the roof of {room}, and {who} listens.",
    "The {thing} hangs a little lower than the {thing}.",
    "{who} and {who} carry the {shape} bench into {room}.",
    "It took a winter to clean the {colour} {thing}.",
    "Under {light} the {stuff} shines, and the {stuff} does not.",
    "{who} counts the steps to {room} and forgets how many there were.",
    "A draught from {light} turns the pages of the guest book.",
    "The {shape} {thing} stands where the {thing} used to be.",
    "{when}, tea is served in {room}.",
    "{who} explains {how} why the sky in the {thing} is {colour}.",
    "What the {thing} shows depends on where one stands.",
    "{who} repairs a {shape} hinge with {stuff} and patience.",
    "There is no better place for a {colour} {thing} than {room}.",
    "{who} stays in {room} until the light is gone.",
)  # fmt: skip


def sentences(seed: int) -> Iterator[str]:
    """Endless sentences about the gallery, the same for the same seed.

    >>> day = sentences(0)
    >>> next(day)
    'Under the skylight the glass shines, and the copper does not.'
    >>> next(day).split()[:4]
    ['Nobody', 'remembers', 'who', 'made']
    """
    draw = random.Random(f"prose/{seed}")
    while True:
        sentence, *gaps = draw.choice(_SENTENCES).split("{")
        words: dict[str, list[str]] = {}
        for gap in gaps:
            slot, rest = gap.split("}")
            # two samples per slot, so that no word occurs twice in a sentence
            sentence += words.setdefault(slot, draw.sample(_WORDS[slot], 2)).pop() + rest
        yield sentence[0].upper() + sentence[1:]
