"""Near-duplicate search: exact against the definition, and few comparisons."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.triplets.building.fingerprints import Fingerprints, distance
from omni_lab.triplets.building.quality import SOUND_BITS

codes = st.none() | st.integers(0, 2**64 - 1) | st.integers(0, 2**12).map(lambda few: few << 26)
pairs = st.tuples(codes, codes)


def digits(code: int | None) -> str | None:
    return None if code is None else f"{code:016x}"


def alike(one, other, limits) -> bool:
    """Definition of near-duplicates, one pair at a time."""
    for a, b, limit in zip(one, other, limits, strict=True):
        if (a is None) != (b is None) or (a is not None and (a ^ b).bit_count() > limit):
            return False
    return one != (None, None)


@settings(deadline=None, max_examples=100)
@given(st.lists(pairs, max_size=8), st.integers(0, 16), st.integers(0, 9), st.randoms())
def test_the_search_finds_exactly_what_comparing_with_all_finds(
    known, picture_bits, sound_bits, random
):
    """Also at exactly the largest distance, with the bits in any pieces of the code."""

    def near(code, bits):
        places = random.sample(range(64), bits + random.randint(-1, 1) if bits else 0)
        return None if code is None else code ^ sum(1 << place for place in places)

    fingerprints = Fingerprints(picture_bits, sound_bits)
    for number, codes in enumerate(known):
        fingerprints.add(f"clip{number}", *map(digits, codes))
    for wanted in [*known, *((near(p, picture_bits), near(s, sound_bits)) for p, s in known)]:
        limits = picture_bits, sound_bits
        numbers = (n for n, codes in enumerate(known) if alike(wanted, codes, limits))
        first = next(numbers, None)
        found = fingerprints.find(*map(digits, wanted))
        assert (found and found[0]) == (None if first is None else f"clip{first}")


def test_the_search_compares_with_few():
    """Of 2000 different clips one pair in 500 is compared, also with equal pictures or sounds."""
    rng = np.random.default_rng(0)
    count = 2000
    for pictures_differ, sounds_differ in ((True, True), (False, True), (True, False)):
        fingerprints = Fingerprints(3, SOUND_BITS)
        for number, (picture, sound) in enumerate(
            rng.integers(0, 2**63, (count, 2), dtype=np.int64).tolist()
        ):
            codes = digits(picture * pictures_differ), digits(sound * sounds_differ)
            assert fingerprints.find(*codes) is None
            fingerprints.add(str(number), *codes)
        assert fingerprints.compared < count**2 / 2 / 500


def test_distance_is_symmetric():
    one, other = "00000000000000ff", "0000000000000000"
    assert distance(one, other) == distance(other, one) == 8
