"""Ground-truth scene script of a gallery film: rooms, things, sounds, notes and questions.

A room lasts a few seconds. It has a 2 × 2 wall of panels (cells); things stand in panels and, in
the middle of every second, hop left, right, up or down inside their panel or rest. A thing stands
on one of four corners of its panel, from which only one sideways hop, one upright hop or a rest is
possible: one picture alone allows an accuracy of a third on motion. Every second a voice (the
guide's or the visitor's) speaks one word, or something beeps one to four times. Some rooms have a
sign with two digits, some a note that exists in the subtitles alone.

Everything is drawn from `random.Random(seed)`: a seed and a config determine a film exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

CELLS = ("top-left", "top-right", "bottom-left", "bottom-right")
COLOURS = {
    "red": (214, 39, 40),
    "orange": (255, 140, 20),
    "yellow": (238, 214, 30),
    "green": (44, 160, 60),
    "cyan": (40, 196, 214),
    "blue": (40, 80, 205),
    "purple": (140, 60, 180),
    "black": (28, 28, 32),
}
WALL_SHADES = (185, 240)  # darkest and lightest grey
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart")
OTHER_WORDS = ("apple", "bridge", "garden", "lemon", "music", "river", "silver", "winter")
SPOKEN = (*COLOURS, *SHAPES, *OTHER_WORDS)
MOTIONS = ("left", "right", "up", "down", "still")
COUNTS = ("one", "two", "three", "four")
ROLES = ("guide", "visitor")
SPLITS = ("train", "test", "held_out")
HELD_OUT_PAIRS = frozenset((c, SHAPES[(3 * i + 5) % 8]) for i, c in enumerate(COLOURS))

# Speaking speeds (words per minute) and pitches (espeak units): test voices between trained ones.
TRAIN_SPEEDS, TRAIN_PITCHES = (130, 150, 170, 190), (35, 45, 55, 65)
TEST_SPEEDS, TEST_PITCHES = (140, 160, 180), (40, 50, 60)


@dataclass(frozen=True)
class Thing:
    """Coloured shape in one panel: `corners[s]` is its corner as second `s` of its room begins."""

    cell: int  # index into CELLS
    colour: str | None  # None: a colour without a name, never asked about
    shape: str | None  # None: a blob, never asked about
    rgb: tuple[int, int, int]
    corners: tuple[int, ...]

    def motion(self, second: int) -> str:
        """Motion label of its hop in `second` of its room, one of MOTIONS."""
        before, after = self.corners[second], self.corners[second + 1]
        if before == after:
            return "still"
        if (before ^ after) == 1:
            return "right" if after & 1 else "left"
        return "down" if after & 2 else "up"

    @property
    def held_out(self) -> bool:
        """Whether this colour–shape pair is held out of training."""
        return (self.colour, self.shape) in HELD_OUT_PAIRS


@dataclass(frozen=True)
class Sign:
    """Sign with two digits, to be read (OCR)."""

    cell: int
    digits: str


@dataclass(frozen=True)
class Sound:
    """Sound of one second: a spoken word, or beeps."""

    at_s: float  # onset, seconds from the second's start
    word: str | None = None
    role: str = "guide"  # whose voice
    speed: int = 150  # words per minute
    pitch: int = 50  # espeak's 0–99
    beeps: int = 0
    tone_hz: float = 880.0
    gain: float = 0.5


@dataclass(frozen=True)
class Room:
    """Scene of a few seconds: one wall with its things, sign, sounds and note."""

    wall: tuple[int, int, int]
    things: tuple[Thing, ...]
    sounds: tuple[Sound, ...]  # one per second
    sign: Sign | None = None
    note: str | None = None  # a word that only the subtitles carry

    def find(self, colour: str | None = None, shape: str | None = None) -> Thing | None:
        """First thing of that colour or that shape, or None."""
        for thing in self.things:
            of_colour = colour is not None and thing.colour == colour
            if of_colour or (shape is not None and thing.shape == shape):
                return thing
        return None


@dataclass(frozen=True)
class Question:
    """Question and answer on one fact; `carriers` are the modalities that the answer needs."""

    fact: str
    second: int  # of the film
    asked: tuple[str, ...]
    answer: tuple[str, ...]
    carriers: tuple[str, ...]
    held_out: bool = False


@dataclass(frozen=True)
class Script:
    """Script of a film: the ground truth from which pixels, sound and subtitles are rendered."""

    seed: int
    split: str
    room_s: int
    rooms: tuple[Room, ...]
    questions: tuple[Question, ...]
    muted: frozenset[str] = frozenset()  # modalities left out: grey pictures, no sound, no notes

    @property
    def seconds(self) -> int:
        """Length of the film in s."""
        return len(self.rooms) * self.room_s

    def sound(self, second: int) -> Sound:
        """Sound of that second of the film."""
        return self.rooms[second // self.room_s].sounds[second % self.room_s]
