"""Figures of sequences: every token once, in its colour, at its place; omissions are counted."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgba
from PIL import Image

from figures import empty_clip, gids, laid_out, words
from omni_lab.config import tiny
from omni_lab.errors import UsageError
from omni_lab.media.subtitles.reader import Cue
from omni_lab.plots.data.cells import Piece, flow, label
from omni_lab.plots.data.documents import draw_document, draw_formats
from omni_lab.plots.data.masks import draw_mask
from omni_lab.plots.data.packing import draw_packing
from omni_lab.plots.data.sample import draw_sample
from omni_lab.plots.data.tokens import draw_stream, unit_length
from omni_lab.plots.palette import MODALITY_COLOURS, role_colours
from omni_lab.plots.style import drawable, save
from omni_lab.sequences.batch import collate
from omni_lab.sequences.formats import FORMATS
from omni_lab.sequences.items import KINDS
from omni_lab.sequences.masking import Strength, attention_bias, strengths
from omni_lab.sequences.packing import best_fit, concatenated, join
from omni_lab.sequences.stream import omni_stream
from omni_lab.sequences.tokens import tokenize
from omni_lab.world.clips import from_script
from omni_lab.world.drawing import write_script
from omni_lab.world.vocabulary import WorldVocabulary

NO_SHRINKING = (
    Phase.explicit,
    Phase.reuse,
    Phase.generate,
)  # drawing again and again takes minutes
FOREIGN = st.text(max_size=24)  # of subtitles and file names: any letters and control characters


@pytest.fixture(scope="module")
def clip():
    return from_script(write_script(3, 4, split="test"), 48)


@pytest.fixture(scope="module")
def stream(clip):
    config, vocabulary = tiny(), WorldVocabulary()
    tokens = tokenize(omni_stream(clip, config.sequence), vocabulary, config.sequence)
    return tokens, [vocabulary.tokens[i] for i in tokens.ids]


def test_every_cell_of_the_stream_has_its_modality_and_pales_where_it_is_given(clip, stream):
    tokens, names = stream
    figure = draw_stream(clip, tokens, names, first_unit=1, units=2)
    cells = gids(figure, "token:")
    shown = np.flatnonzero((tokens.unit == 1) | (tokens.unit == 2))
    assert len(cells) == len(shown)
    for token in shown:
        kind, learned = KINDS[tokens.kind[token]], bool(tokens.loss[token])
        cell = cells[f"token:{token}:{kind}:{'supervised' if learned else 'given'}"]
        assert cell.get_facecolor() == pytest.approx(
            (*to_rgba(MODALITY_COLOURS[kind])[:3], 1.0 if learned else 0.35)
        )
    texts = words(figure)
    assert set(np.array(names)[[t for t in shown if tokens.kind[t] in (2, 4)]]) <= set(texts)
    assert {"image", "audio", "text", "control"} <= set(texts)


def test_cells_stand_in_the_order_of_the_tokens(clip, stream):
    cells = gids(draw_stream(clip, *stream, first_unit=0, units=1), "token:")
    places = [
        (c.get_y(), c.get_x())
        for _, c in sorted(cells.items(), key=lambda item: int(item[0].split(":")[1]))
    ]
    assert places == sorted(places)
    rights = {}
    for cell in cells.values():
        rights.setdefault(cell.get_y(), []).append((cell.get_x(), cell.get_x() + cell.get_width()))
    for row in rights.values():
        row.sort()
        assert all(before[1] < after[0] for before, after in itertools.pairwise(row))


def test_a_stream_without_image_gives_a_message():
    config, vocabulary = tiny(), WorldVocabulary()
    heard = from_script(write_script(3, 4, split="test"), 48, senses=("audio", "text"))
    tokens = tokenize(omni_stream(heard, config.sequence), vocabulary, config.sequence)
    figure = draw_stream(heard, tokens, [vocabulary.tokens[i] for i in tokens.ids], units=2)
    assert "no image in this clip" in words(figure)
    assert not [gid for gid in gids(figure, "token:") if ":image:" in gid]


def test_a_stream_that_does_not_fit_its_words_is_refused(clip, stream):
    tokens, names = stream
    with pytest.raises(UsageError, match="one for each"):
        draw_stream(clip, tokens, names[1:])
    with pytest.raises(UsageError, match="units 0 to 3"):
        draw_stream(clip, tokens, names, first_unit=9)


def token_of(gid):
    return int(gid.split(":")[1])


@given(
    st.lists(st.tuples(st.floats(0.1, 6), st.integers(0, 3), st.booleans()), max_size=30),
    st.floats(1, 10),
)
@example([(3.0, 0, False), (3.0, 1, False), (3.0, 1, False)], 7.0)
def test_pieces_flow_in_order_without_overlap_and_stay_together_where_they_can(drawn, room):
    drawn.sort(key=lambda piece: piece[1])
    pieces = [Piece(*piece) for piece in drawn]
    placed = flow(pieces, room, gap=0.1)
    assert placed == sorted(placed)
    for (row, x), (next_row, next_x), piece in zip(placed, placed[1:], pieces, strict=False):
        assert next_row in (row, row + 1)
        assert (next_x >= x + piece.width) if row == next_row else next_x == 0
    assert all(
        x == 0 or x + piece.width <= room + 1e-9
        for (_, x), piece in zip(placed, pieces, strict=True)
    )
    for _, run in itertools.groupby(
        zip(pieces, placed, strict=True), key=lambda both: both[0].group
    ):
        run = list(run)
        whole = sum(piece.width + 0.1 for piece, _ in run) - 0.1
        if whole < room and not any(piece.opens for piece, _ in run[1:]):
            assert len({row for _, (row, _) in run}) == 1


def test_what_no_font_has_and_what_steers_a_terminal_is_drawn_as_a_box():
    assert drawable("Größe ×") == "Größe ×"
    assert drawable("\x1b[1m\N{EGYPTIAN HIEROGLYPH A001}") == "□[1m□"
    assert (label(" red"), label(" "), label("\n")) == ("red", "␣", "↵")


def test_every_token_of_a_sample_stands_under_its_own_second(clip):
    sequence, tokens, _ = laid_out(clip)
    figure = draw_sample(clip, sequence, tokens)
    cells = gids(figure, "token:")
    assert sorted(map(token_of, cells)) == list(range(len(tokens.ids)))
    for gid, cell in cells.items():
        _, token, kind, learned = gid.split(":")
        unit = tokens.unit[int(token)]
        assert (kind, learned == "supervised") == (
            KINDS[tokens.kind[int(token)]],
            tokens.loss[int(token)],
        )
        assert unit <= cell.get_x() and cell.get_x() + cell.get_width() <= unit + 1
        assert cell.get_facecolor()[3] == (1.0 if learned == "supervised" else 0.35)
    for unit in range(4):
        places = [(token_of(gid), cell.get_y(), cell.get_x()) for gid, cell in cells.items()]
        places = sorted(place for place in places if tokens.unit[place[0]] == unit)
        assert [place[1:] for place in places] == sorted(place[1:] for place in places)
    assert {gid: line.get_xdata()[0] for gid, line in gids(figure, "unit:").items()} == {
        f"unit:{unit}": float(unit) for unit in range(4)
    }
    assert figure.axes[-1].get_xlim() == (0.0, 4.0)
    assert f"stream of {len(tokens.ids)} tokens" in figure.alt


def test_a_turn_is_marked_in_the_colour_of_its_role(clip):
    sequence, tokens, _ = laid_out(clip)
    bars = gids(draw_sample(clip, sequence, tokens), "role:")
    assert {token_of(gid) for gid in bars} == set(np.flatnonzero(tokens.role >= 0).tolist())
    colours = role_colours(["guide", "visitor"])
    for gid, bar in bars.items():
        assert bar.get_facecolor() == to_rgba(colours[gid.split(":")[2]])


def test_a_sample_names_what_its_stream_lacks(clip):
    deaf = replace(clip, audio=clip.audio[:0], has=clip.has - {"audio"})
    sequence, tokens, _ = laid_out(deaf)
    figure = draw_sample(deaf, sequence, tokens)
    texts = "\n".join(axes.get_title("left") for axes in figure.axes)
    assert (
        "not in the stream: no audio in this clip" in texts
        and "no audio in this clip" in figure.alt
    )
    assert not [gid for gid in gids(figure, "token:") if ":audio:" in gid]


def test_a_last_unit_that_runs_past_the_clip_has_its_whole_column(clip):
    part = clip.window(0, 2 * 16_000 + 10_000)
    sequence, tokens, _ = laid_out(part)
    assert draw_sample(part, sequence, tokens).axes[-1].get_xlim() == (0.0, 3.0)


@pytest.mark.parametrize("boundary", ["explicit", "implicit"])
def test_the_length_of_a_unit_is_found_in_a_clip_of_one_unit_too(clip, boundary):
    for part in (clip.window(0, 16_000), clip.window(0, 20_000)):
        _, tokens, _ = laid_out(part, boundary=boundary)
        assert set(tokens.unit) == {0} and unit_length(part, tokens) == 16_000


@settings(max_examples=4, deadline=None, phases=NO_SHRINKING)
@given(
    st.lists(
        st.tuples(st.integers(0, 31_000), st.integers(0, 3000), FOREIGN, st.none() | FOREIGN),
        max_size=5,
    )
)
def test_any_text_and_any_role_can_be_drawn(texts):
    cues = tuple(
        Cue(start, start + length, text, role)
        for start, length, text, role in sorted(texts, key=str)
    )
    silent = empty_clip(cues=cues, has=frozenset({"text"}))
    sequence, tokens, _ = laid_out(silent)
    figure = draw_sample(silent, sequence, tokens)
    assert figure._repr_png_() and len(gids(figure, "token:")) == len(tokens.ids)
    assert draw_document(*laid_out([*cues, "one"], "F4"))._repr_png_()


def test_a_page_holds_every_word_and_one_frame_per_image_with_its_count(clip):
    sequence, tokens, names = laid_out(clip, "F4")
    figure = draw_document(sequence, tokens, names)
    written = [token for token in range(len(tokens.ids)) if KINDS[tokens.kind[token]] != "image"]
    cells = gids(figure, "token:")
    assert sorted(map(token_of, cells)) == written
    places = [
        (round(cell.get_y(), 3), cell.get_x())
        for _, cell in sorted(cells.items(), key=lambda c: token_of(c[0]))
    ]
    assert places == sorted(places)
    images = gids(figure, "item:")
    assert [gid.split(":")[2:] for gid in images] == [["image", "4"]] * len(clip.frames)
    assert {"frame", "<im_start>", "<im_end>"} <= set(words(figure))
    assert any("not in the sequence: 4.00 s of sound" in text for text in words(figure))


def test_a_page_shows_an_image_in_tiles_with_its_thumbnail_first(clip):
    wide = np.concatenate(list(clip.frames[:3]), axis=1)
    figure = draw_document(*laid_out([wide, "where star"], "F1", tiles=3))
    pictures = [image.get_array() for image in figure.axes[0].images]
    assert len(pictures) == 4 and all(picture.shape == (48, 48, 3) for picture in pictures)
    assert (pictures[0][0] == 127).all() and not (pictures[1][0] == 127).all()


def test_a_page_ends_with_the_number_of_tokens_left(clip):
    sequence, tokens, names = laid_out([clip.frames[0], "where star " * 500], "F0")
    figure = draw_document(sequence, tokens, names)
    (message,) = [text for text in words(figure) if text.startswith("… and")]
    drawn = len(gids(figure, "token:")) + 4
    assert message == f"… and {1004 - drawn} more tokens: {1004 - drawn} text" and drawn < 900
    assert figure.get_figheight() < 25


def test_a_page_shows_the_sound_of_a_stream_too(clip):
    figure = draw_document(*laid_out(clip))
    kinds = [gid.split(":")[2] for gid in gids(figure, "item:")]
    assert kinds.count("audio") == kinds.count("image") == 4


def test_formats_stand_side_by_side_on_one_scale_with_their_lengths(clip):
    formats = {name: laid_out(clip, name) for name in FORMATS}
    figure = draw_formats(formats)
    runs = gids(figure, "run:")
    for name, (_, tokens, _) in formats.items():
        of_format = [gid.split(":")[2:] for gid in runs if gid.startswith(f"run:{name}:")]
        assert sum(int(length) for _, length, _, _ in of_format) == len(tokens.ids)
        assert sum(int(n) for _, n, kind, _ in of_format if kind == "image") == 4 * len(clip.frames)
        assert (
            sum(int(n) for _, n, _, learned in of_format if learned == "supervised")
            == tokens.loss.sum()
        )
        assert f"{name} {len(tokens.ids)} tokens" in figure.alt
    longest = max(len(tokens.ids) for _, tokens, _ in formats.values())
    bars = [
        axes
        for axes in figure.axes
        if any((a.get_gid() or "").startswith("run:") for a in axes.patches)
    ]
    assert len(bars) == 5 and {axes.get_xlim() for axes in bars} == {(0.0, float(longest))}
    shortest = len(formats["F0"][1].ids)
    assert {f"{shortest}", f"{longest}  +{longest / shortest - 1:.0%}"} <= set(words(figure))


def test_a_page_needs_a_word_for_every_token(clip):
    sequence, tokens, names = laid_out(clip, "F4")
    with pytest.raises(UsageError, match="one for each"):
        draw_document(sequence, tokens, names[1:])
    with pytest.raises(UsageError, match="one for each"):
        draw_formats({"F4": (sequence, tokens, names[1:])})
    with pytest.raises(UsageError, match="no format"):
        draw_formats({})


LENGTHS = [6, 5, 4, 3]
PACKINGS = {
    "best fit": [[(d, 0, LENGTHS[d]) for d in row] for row in best_fit(LENGTHS, 10)],
    "concatenated": list(concatenated(LENGTHS, 10)),
    "padded": [[(d, 0, length)] for d, length in enumerate(LENGTHS)],
}


def test_packed_rows_show_documents_free_room_and_cuts_with_their_density():
    figure = draw_packing(PACKINGS, 10, ["image", "text", "image", "audio"])
    best, plain, padded = figure.axes
    assert "density 0.900, no documents cut" in best.get_title("left")
    assert "density 0.900, 1 document cut" in plain.get_title("left")
    assert "4 rows, density 0.450" in padded.get_title("left")
    for axes in figure.axes:
        pieces = [patch for patch in axes.patches if patch.get_gid().startswith("piece:")]
        free = [patch for patch in axes.patches if patch.get_gid().startswith("free:")]
        assert sum(patch.get_width() for patch in pieces) == sum(LENGTHS)
        assert all(patch.get_x() + patch.get_width() == 10 for patch in free)
    assert not best.lines and not padded.lines
    assert sorted((line.get_gid(), line.get_ydata()[0]) for line in plain.lines) == [
        ("cut:1:0", 1),
        ("cut:1:10", 0),
    ]
    first = next(patch for patch in best.patches if patch.get_gid().startswith("piece:0:0:"))
    assert first.get_facecolor() == to_rgba(MODALITY_COLOURS["image"])
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[:3] == ["image", "audio", "text"]


def test_of_many_rows_some_are_drawn_and_all_are_counted():
    figure = draw_packing({"padded": [[(d, 0, 5)] for d in range(60)]}, 10, most_rows=8)
    assert len(gids(figure, "piece:")) == 8 and "… and 52 more rows" in words(figure)
    assert "60 rows, density 0.500" in figure.alt


def test_empty_packings_and_rows_over_capacity_are_refused():
    with pytest.raises(UsageError, match="a row holds 11 tokens"):
        draw_packing({"wrong": [[(0, 0, 11)]]}, 10)
    with pytest.raises(UsageError, match="at least one row"):
        draw_packing({"empty": []}, 10)


@pytest.fixture(scope="module")
def packed(clip):
    return join(
        [laid_out(clip.window(a * 16_000, b * 16_000))[1] for a, b in ((0, 1), (1, 3), (3, 4))]
    )


def biased(row, *course):
    bias = attention_bias(
        collate([row], tiny().sequence, tiny().model.image.size),
        strengths([Strength.read(text) for text in course]),
    )
    return bias[0, 0].numpy()


def test_a_mask_shows_documents_order_and_strengths(packed):
    figure = draw_mask(packed, biased(packed, "text>audio=0.25", "audio>image=0", "text>text=0.5"))
    table = {
        gid[len("strength:") :]: text.get_text() for gid, text in gids(figure, "strength:").items()
    }
    assert (
        table["text:audio"] == "0.25"
        and table["audio:image"] == "0.00"
        and table["image:image"] == "1.00"
    )
    assert table["text:text"] == "0.50", "a token's full look at itself does not count"
    shown = figure.axes[0].images[0].get_array()
    length = len(packed.ids)
    place = np.arange(length)
    allowed = (place[:, None] >= place) & (packed.document[:, None] == packed.document)
    assert (shown[~allowed] == 232).all() and not (shown[allowed] == 232).all(-1).any()
    query, key = (
        np.flatnonzero((packed.kind == KINDS.index(kind)) & (packed.document == 1))[0]
        for kind in ("audio", "image")
    )
    assert (shown[query, key] == 255).all()
    expected = np.array(to_rgba(MODALITY_COLOURS["audio"])[:3]) * 255
    np.testing.assert_allclose(shown[query, query], expected, atol=1)
    edges = {gid: patch.get_x() for gid, patch in gids(figure, "document:").items()}
    assert list(edges.values()) == [int(np.flatnonzero(packed.document == d)[0]) for d in range(3)]
    assert "text to audio 0.25" in figure.alt and "3 documents" in figure.alt


def test_plain_causal_attention_needs_no_bias(clip):
    _, tokens, _ = laid_out(clip.window(0, 16_000))
    figure = draw_mask(tokens)
    assert "Turned down: nothing" in figure.alt and "1 documents" not in figure.alt


def test_a_mask_that_does_not_belong_to_its_row_is_refused(packed):
    with pytest.raises(UsageError, match="the row has"):
        draw_mask(packed, np.zeros((3, 3), np.float32))
    with pytest.raises(UsageError, match="another document"):
        draw_mask(packed, np.zeros((len(packed.ids),) * 2, np.float32))


def test_a_long_row_is_drawn_coarser():
    _, tokens, _ = laid_out(["where star " * 600], "F0")
    figure = draw_mask(tokens)
    assert figure.axes[0].images[0].get_array().shape == (600, 600, 3)


def test_a_picture_is_written_in_the_form_its_name_asks_for(own_folder):
    figure = draw_packing(PACKINGS, 10)
    for name, begins in (("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.svg", b"<?xml")):
        save(figure, Path(name))
        assert (own_folder / name).read_bytes().startswith(begins)
    with Image.open("a.png") as image:
        assert image.width == 1320
    with pytest.raises(UsageError, match=r"a\.mp3: pictures are written as .*\.pdf"):
        save(figure, Path("a.mp3"))
    with pytest.raises(UsageError, match="nowhere/a.png: not writable"):
        save(figure, Path("nowhere/a.png"))
