"""Figures of ring attention: pairs by rank and step, blocks of keys by hop, waits by cause."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgba

from figures import gids, words
from omni_lab.errors import UsageError
from omni_lab.parallel.cost import balance, block_pairs
from omni_lab.parallel.layout import Layout, pieces
from omni_lab.planner.simulate import by_step, simulate_ring
from omni_lab.plots.palette import MODALITY_COLOURS, rank_colour, rgb
from omni_lab.plots.systems.ring import draw_ring_pairs, draw_ring_steps
from omni_lab.plots.systems.ring_errors import draw_token_errors
from omni_lab.plots.systems.ring_times import RingTimes, draw_ring_times

KINDS = ("contiguous", "zigzag")
EMPTY = (243, 244, 246)


def holders(tokens, ranks, kind):
    """The rank that holds each token of a row."""
    layout, holder = Layout(tokens, ranks, kind), np.empty(tokens, np.int64)
    for rank in range(ranks):
        places = layout.places(rank).numpy()
        holder[places[places < tokens]] = rank
    return holder


def computed(tokens, ranks, kind, edges):
    """Rank and step that compute each pair, from the package's rectangles; −1 for masked pairs."""
    layout, found = Layout(tokens, ranks, kind), np.full((2, tokens, tokens), -1)
    for rank, other in itertools.product(range(ranks), repeat=2):
        for piece in pieces(layout, rank, other, edges):
            queries = layout.places(rank)[piece.queries].numpy()
            keys = layout.places(other)[piece.keys].numpy()
            for query, key in itertools.product(queries, keys):
                if key <= query:
                    found[:, query, key] = rank, (rank - other) % ranks
    return found


def test_ranks_have_distinct_colours_and_none_of_a_modality():
    colours = [rank_colour(rank) for rank in range(8)]
    assert len(set(colours)) == 8
    assert not set(colours) & set(MODALITY_COLOURS.values())


@given(st.integers(1, 40), st.integers(1, 8), st.sampled_from(KINDS), st.data())
@settings(max_examples=8, deadline=None)
def test_the_map_shows_the_pairs_that_the_ring_computes_by_rank_and_step(tokens, ranks, kind, data):
    edges = sorted({0, *data.draw(st.lists(st.integers(0, tokens), max_size=4))})
    (ax,) = draw_ring_pairs({kind: holders(tokens, ranks, kind)}, ranks, edges).axes
    shown = np.rint(255 * np.asarray(ax.images[0].get_array())).astype(int)
    by, in_step = computed(tokens, ranks, kind, edges)
    assert (shown[by < 0] == EMPTY).all()
    seen = {}
    for rank, step in itertools.product(range(ranks), repeat=2):
        colours = np.unique(shown[(by == rank) & (in_step == step)], axis=0)
        assert len(colours) <= 1
        if len(colours):
            seen[rank, step] = tuple(colours[0].tolist())
    for rank in range(ranks):
        by_step = [colour for (of, _), colour in sorted(seen.items()) if of == rank]
        assert all(sum(early) < sum(late) for early, late in itertools.pairwise(by_step)), (
            "later steps are paler"
        )
        assert (rank, 0) not in seen or by_step[0] == rgb(rank_colour(rank))
    assert len(set(seen.values()) | {EMPTY}) == len(seen) + 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_on_the_map_is_the_step_of_the_pairs_under_it(kind):
    edges = [0, 20, 34, 64]
    picture = draw_ring_pairs({kind: holders(64, 4, kind)}, 4, edges)
    by, in_step = computed(64, 4, kind, edges)
    numbers = gids(picture, "step:")
    for gid, text in numbers.items():
        query, key, rank, step = map(int, gid.split(":")[1:])
        assert (by[query, key], in_step[query, key]) == (rank, step)
        x, y = text.get_position()
        assert (by[int(y), int(x)], in_step[int(y), int(x)]) == (rank, int(text.get_text()))
    assert len(numbers) >= 7
    assert set(gids(picture, "document:")) == {"document:0:20", "document:20:34", "document:34:64"}


def test_a_map_shows_its_load_balance():
    picture = draw_ring_pairs({kind: holders(64, 4, kind) for kind in KINDS}, 4, [0, 64])
    for kind in KINDS:
        even = balance(block_pairs(64, 4, kind).sum(1))
        assert f"{kind}: busiest rank / mean {even:.2f}" in words(picture)
        assert f"{kind}: rank 0 {block_pairs(64, 4, kind)[0].sum()}" in picture.alt


def test_blocks_go_round_and_compute_and_waits_are_drawn():
    work = {kind: by_step(block_pairs(64, 4, kind)) for kind in KINDS}
    picture = draw_ring_steps(work)
    held, done, waits = (gids(picture, name) for name in ("holds:", "work:", "waits:"))
    for step, rank in itertools.product(range(4), repeat=2):
        owner = (rank - step) % 4
        assert held[f"holds:{step}:{rank}:{owner}"].get_facecolor() == to_rgba(rank_colour(owner))
        for kind, pairs in work.items():
            assert done[f"work:{kind}:{step}:{rank}"].get_height() == pairs[rank, step]
            wait, idle = (
                waits.get(f"waits:{kind}:{step}:{rank}"),
                pairs[:, step].max() - pairs[rank, step],
            )
            assert (wait.get_height() if wait else 0) == idle
    assert len(held) == 4 * 4
    assert len(gids(picture, "goes:")) == 3 * 4  # W − 1 hops each
    assert "zigzag\npairs (100% utilised)" in words(picture)


def test_a_wait_is_exposed_communication_while_a_message_is_in_flight_else_for_a_busier_rank():
    # rank 0 is done at 1, rank 1 at 4; the message of rank 0 takes 2, that of rank 1 takes 7
    times = RingTimes(
        start_s=np.array([[0.0, 7.0, 8.0], [0.0, 7.0, 10.0]]),
        work_s=np.array([[1.0, 1.0], [4.0, 3.0]]),
        transfer_s=np.array([[2.0, 0.0], [7.0, 0.0]]),
    )
    picture = draw_ring_times({"slow link": times})
    exposed = {
        gid: (bar.get_x(), bar.get_width()) for gid, bar in gids(picture, "exposed:").items()
    }
    assert exposed == {"exposed:slow link:0:0": (1, 6), "exposed:slow link:1:0": (4, 3)}
    waits = {gid: (bar.get_x(), bar.get_width()) for gid, bar in gids(picture, "waits:").items()}
    assert waits == {"waits:slow link:0:2": (8, 2)}
    assert set(gids(picture, "sends:")) == {"sends:slow link:0:0", "sends:slow link:1:0"}
    assert picture.alt.endswith(
        "10 s, compute 45%, exposed communication 45%, waiting for busier ranks 10%."
    )


def test_a_message_that_has_not_begun_is_a_wait_for_its_receiver():
    # rank 0 reaches step 1 at 1, the other two at 5: until then no message is in flight
    times = RingTimes(
        start_s=np.array([[0.0, 1.0, 7.0], [0.0, 5.0, 7.0], [0.0, 5.0, 7.0]]),
        work_s=np.array([[1.0, 1.0], [5.0, 2.0], [5.0, 2.0]]),
        transfer_s=np.array([[0.0, 2.0]] * 3),
    )
    picture = draw_ring_times({"late": times})
    (wait,), (bytes_,) = (
        list(gids(picture, name).values()) for name in ("waits:late:0:1", "exposed:late:0:1")
    )
    assert (wait.get_x(), wait.get_width()) == (2, 3)
    assert (bytes_.get_x(), bytes_.get_width()) == (5, 2)


def test_an_even_ring_waits_as_long_as_the_simulation_exposes():
    work, sent = np.full((3, 3), 2.0), np.array([3, 3, 0])
    found = simulate_ring(work, sent, np.ones(3), latency_s=0.5)
    start = np.cumsum([0.0, *found.step_s])
    times = RingTimes(
        np.tile(start, (3, 1)), work, np.tile(np.where(sent > 0, sent + 0.5, 0.0), (3, 1))
    )
    picture = draw_ring_times({"even": times})
    exposed = sum(bar.get_width() for bar in gids(picture, "exposed:even:1").values())
    assert exposed == pytest.approx(found.exposed_s)
    assert not gids(picture, "waits:")
    owners = {
        gid.rsplit(":", 1)[1]: bar.get_facecolor() for gid, bar in gids(picture, "work:").items()
    }
    assert owners == {str(rank): to_rgba(rank_colour(rank)) for rank in range(3)}


def test_errors_stand_at_their_tokens_and_none_is_at_the_bottom():
    wrong = np.array([0.0, 0.5, 1e-12, 0.25])
    picture = draw_token_errors({"exact": np.zeros(4), "wrong": wrong}, [0, 1, 4])
    lines = gids(picture, "errors:")
    assert set(lines["errors:exact"].get_ydata()) == {1e-17}
    assert lines["errors:wrong"].get_ydata().tolist() == [1e-17, 0.5, 1e-12, 0.25]
    assert {"document 0", "document 1"} <= set(words(picture))
    assert picture.alt.endswith("exact: 0 wrong, at most 0%; wrong: 2 wrong, at most 50%.")


def test_short_times_are_drawn_in_a_unit_that_fits_them():
    times = RingTimes(np.array([[0.0, 2e-5]]), np.array([[2e-5]]), np.array([[0.0]]))
    assert "time (µs)" in words(draw_ring_times({"short": times}))


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: draw_ring_pairs({}, 2, [0, 4]), "once per layout"),
        (
            lambda: draw_ring_pairs({"a": np.zeros(4, int), "b": np.zeros(5, int)}, 2, [0, 4]),
            "once per layout",
        ),
        (lambda: draw_ring_pairs({"a": np.zeros(2000, int)}, 2, [0, 4]), "at most 1,024"),
        (lambda: draw_ring_pairs({"a": np.zeros(4, int)}, 2, [0, 5]), "at most the row's 4 tokens"),
        (
            lambda: draw_ring_pairs({"a": np.zeros(4, int)}, 2, [0, 3, 2]),
            r"\[0, 3, 2\]: offsets must rise from 0",
        ),
        (
            lambda: draw_ring_pairs({"a": np.full(4, 2)}, 2, [0, 4]),
            "a: a token is held by rank 2; ranks are 0 to 1",
        ),
        (
            lambda: draw_ring_pairs({"a": np.zeros(4, int)}, 9, [0, 4]),
            "a ring of 9 ranks is not legible; draw 1 to 8",
        ),
        (lambda: draw_ring_steps({}), "over the same ranks"),
        (
            lambda: draw_ring_steps({"a": np.ones((2, 2), int), "b": np.ones((3, 3), int)}),
            "over the same ranks",
        ),
        (
            lambda: draw_ring_steps({"a": np.ones((12, 12), int)}),
            "a ring of 12 ranks is not legible; draw 1 to 8",
        ),
        (lambda: draw_ring_times({}), "no pass to draw"),
        (lambda: draw_token_errors({}, [0, 4]), "of 0 ways"),
        (lambda: draw_token_errors({"a": np.zeros(3)}, [0, 4]), "each of the 4 tokens"),
        (
            lambda: draw_ring_times({"a": RingTimes(*[np.zeros((2, 2))] * 3)}),
            r"a: shapes of start_s \(2, 2\) .* give \(2, 3\) and \(2, 2\)",
        ),
    ],
)
def test_input_that_does_not_fit_a_figure_is_refused(draw, message):
    with pytest.raises(UsageError, match=message):
        draw()


def test_the_widest_ring_and_names_of_any_kind_are_drawn():
    odd = "a\x1b name\nof $two$ lines"
    assert draw_ring_pairs({odd: holders(101, 8, "zigzag")}, 8, [0, 0, 50, 90])._repr_png_()
    assert draw_ring_steps({odd: by_step(block_pairs(101, 8))})._repr_png_()
    assert len(gids(draw_ring_steps({odd: by_step(block_pairs(3, 1))}), "holds:")) == 1
