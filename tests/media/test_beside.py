"""Text beside a film: what stands under its name is used, or said to be unused and why."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import write_film

from omni_lab.media.decoding import decode
from omni_lab.media.subtitles.beside import read_beside, sidecars
from omni_lab.media.subtitles.names import language_in, read_tags

S = 16_000


def srt(text: str = "Red.", second: int = 1) -> str:
    return f"1\n00:00:0{second},000 --> 00:00:0{second + 1},000\n{text}\n"


def laid(folder: Path, *names: str, text: str = "x") -> Path:
    """Files in a folder, beside a film that need not exist."""
    for name in names:
        (folder / name).write_text(text)
    return folder / "talk.mp4"


def names_of(files) -> list[str]:
    return [file.name for file in files]


# ---- which files belong to a film ------------------------------------------------------------


def test_sidecars_are_files_in_any_notation_of_a_language(tmp_path):
    (tmp_path / "a.vtt").mkdir()
    for name in ("a.fr.vtt", "a.eng.srt", "a.en-GB.ass"):
        (tmp_path / name).write_text("x")
    assert names_of(sidecars(tmp_path / "a.mp4", "en").files) == [
        "a.eng.srt",
        "a.en-GB.ass",
        "a.fr.vtt",
    ]


def test_sidecars_belong_to_their_film(tmp_path):
    for name in ("a.srt", "a.fr.srt", "ab.srt", "a.b.c.srt", "a.en.srt", "a.txt", "a.ass"):
        (tmp_path / name).write_text("x")
    assert names_of(sidecars(tmp_path / "a.mp4", "en").files) == [
        "a.en.srt",
        "a.srt",
        "a.ass",
        "a.txt",
        "a.fr.srt",
    ]


def test_sidecars_say_whom_they_are_for(tmp_path):
    """The audience follows the language; forced lines are the last resort, `hi` alone is Hindi."""
    for name in (
        "a.en.forced.srt",
        "a.EN.SDH.srt",
        "a.hi.srt",
        "a.cc.vtt",
        "a.de.hi.ass",
        "a.en.what.srt",
    ):
        (tmp_path / name).write_text("x")
    found = ["a.EN.SDH.srt", "a.cc.vtt", "a.en.forced.srt", "a.hi.srt", "a.de.hi.ass"]
    assert names_of(sidecars(tmp_path / "a.mp4", "en").files) == found
    assert sidecars(tmp_path / "a.mp4", "hi").files[0].name == "a.hi.srt"


def test_a_film_is_no_subtitles_of_its_own(tmp_path):
    """Whatever it is called."""
    for name in ("a.srt", "a.en.srt"):
        (tmp_path / name).write_text("x")
    assert names_of(sidecars(tmp_path / "a.srt").files) == ["a.en.srt"]


def test_a_subtitle_file_that_cannot_be_read_is_an_error_of_the_film(tmp_path, monkeypatch):
    """In any format: the film decodes, its source lists the error, and the next file is read."""
    path = write_film(tmp_path / "a.mp4", seconds=0.4, sound=None)
    for name in ("a.vtt", "a.ttml"):
        (tmp_path / name).write_text("nothing that anybody knows")
    (tmp_path / "a.srt").write_text("00:01 --> 00:02\nRed.\n")
    reads = Path.read_bytes

    def refuse(file):
        if file.suffix == ".vtt":
            raise PermissionError(13, "Permission denied")
        return reads(file)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert names_of(sidecars(path).files) == ["a.srt", "a.vtt", "a.ttml"]
    assert [cue.text for cue in decode(path).cues] == ["Red."]
    (tmp_path / "a.srt").unlink()
    film = decode(path)
    assert film.cues == ()
    assert [error.split(": ")[1][:19] for error in film.source.errors] == [
        "unreadable subtitle",
        "subtitles in an unk",
    ]


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("talk.en-nP7-2PuUl7o.vtt", "en"),  # as download programs name tracks
        ("talk.zh-Hans-en.vtt", "zh"),
        ("talk.en-orig.vtt", "en"),
        ("talk.a.en.vtt", "en"),
        ("talk.es-419.vtt", "es"),
        ("talk_en.srt", "en"),
        ("talk-en.srt", "en"),
        ("talk en.srt", "en"),
        ("talk.English.srt", "en"),
        ("talk.english (SDH).srt", "en"),
        ("talk [eng].srt", "en"),
        ("talk.Brazilian Portuguese.srt", "pt"),
        ("talk.Chinese (Simplified).ass", "zh"),
        ("talk.chs&eng.ass", "zh"),
        ("talk.pt_BR.forced.srt", "pt"),
        ("talk.2.srt", None),
        ("talk.en.2.srt", "en"),
        ("talk.Français.srt", "fr"),
        ("talk.Franc\u0327ais.srt", "fr"),  # composed in two ways
        ("talk.mp4.srt", ""),
        ("talk.mp4.fr.srt", "fr"),
        ("TALK.EN.SRT", "en"),
        ("talk.captions.vtt", ""),
        ("talk_transcript.txt", ""),
        ("talks.srt", None),
        ("talk2.srt", None),
        ("talk.part2.srt", None),
        ("talk.cd1.srt", None),
        ("talk_draft.srt", None),
        ("talk.en.draft.srt", None),
        ("talk is cheap.srt", None),
        ("talk.old.srt", None),
        ("talk.en.json", None),
        ("talk.en.srt.part", None),
    ],
)
def test_a_name_says_film_and_language_in_any_notation(tmp_path, name, language):
    """Any language is the wanted one's; no language is anyone's; else the file is not this film's."""
    film = laid(tmp_path, name)
    assert names_of(sidecars(film, language or "en").files) == [name] * (language is not None)
    if language:
        rest = name[4:].removeprefix(".mp4").rpartition(".")[0].casefold()
        assert name == "talk-en.srt" or language_in(Path(name).stem) is not None
        assert sidecars(laid(tmp_path, "talk.xx.srt"), "ja").files[0].name == name
        assert read_tags(rest).language is not None


def test_the_wanted_language_comes_first_however_it_is_written(tmp_path):
    film = laid(
        tmp_path, "talk.Arabic.srt", "talk.English.srt", "talk.ZH-hans-en.vtt", "talk_fr.srt"
    )
    assert names_of(sidecars(film, "en").files)[0] == "talk.English.srt"
    assert names_of(sidecars(film, "fra").files)[0] == "talk_fr.srt"
    assert names_of(sidecars(film, "ara").files)[0] == "talk.Arabic.srt"
    assert names_of(sidecars(film, "zh").files)[0] == "talk.ZH-hans-en.vtt"


def test_what_people_wrote_comes_before_what_was_recognised(tmp_path):
    film = laid(tmp_path, "talk.en-orig.srt", "talk.en.srt", "talk.a.en.srt", "talk.en.2.srt")
    assert names_of(sidecars(film).files)[:2] == ["talk.en.srt", "talk.en.2.srt"]


def test_text_of_another_film_is_not_taken(tmp_path):
    """The longest name of a film that a file's name begins with is the film it belongs to."""
    films = ("talk.mp4", "talk.part2.mp4", "talk.en.mkv", "Talk_fr.mp4")
    for name in films:
        write_film(tmp_path / name, seconds=0.4, sound=None)
    files = (
        "talk.srt",
        "talk.part2.srt",
        "talk.part2.de.srt",
        "talk.en.srt",
        "talk_FR.vtt",
        "talk.de.srt",
    )
    laid(tmp_path, *files)
    (tmp_path / "talk.de.jpg").write_bytes(b"no film")
    found = [sidecars(tmp_path / name) for name in films]
    assert [names_of(own.files) for own in found] == [
        ["talk.srt", "talk.de.srt"],
        ["talk.part2.srt", "talk.part2.de.srt"],
        ["talk.en.srt"],
        ["talk_FR.vtt"],
    ]
    assert [own.others for own in found] == [["talk.en.srt", "talk_FR.vtt"], [], [], []]
    assert not any(own.strange for own in found)
    said = "talk.en.srt, talk_FR.vtt beside the film: not used, since it is another film's"
    assert read_beside(tmp_path / "talk.mp4").unused[-1] == said


def test_films_whose_names_differ_in_capitals_keep_their_own_text(tmp_path):
    laid(tmp_path, "talk.mp4", "Talk.mp4", "talk.srt", "Talk.en.srt")
    assert names_of(sidecars(tmp_path / "talk.mp4").files) == ["talk.srt"]
    assert names_of(sidecars(tmp_path / "Talk.mp4").files) == ["Talk.en.srt"]
    (tmp_path / "Talk.mp4").unlink()
    assert names_of(sidecars(tmp_path / "talk.mp4").files) == ["Talk.en.srt", "talk.srt"]


def test_work_in_a_large_folder_grows_with_the_folder(tmp_path):
    """Hundreds of films whose names begin alike, each with its text: none is opened."""
    laid(tmp_path, *(f"talk_{i}.{form}" for i in range(300) for form in ("mp4", "srt")), "talk.mp4")
    assert sidecars(tmp_path / "talk.mp4") == ([], [], [])
    assert names_of(sidecars(tmp_path / "talk_7.mp4").files) == ["talk_7.srt"]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(
            st.sampled_from(
                [*"._- ([&", "en", "fr", "hi", "German", "forced", "2", "part2", "é", "İ", "ß"]
            ),
            max_size=5,
        ).map("".join),
        max_size=5,
    ),
    st.sampled_from([".srt", ".VTT", ".sub"]),
)
def test_every_file_under_the_name_is_used_or_said(rests, form):
    """Whatever stands behind the film's name, unless its first character continues a word."""
    with tempfile.TemporaryDirectory() as folder:
        names = {f"talk{rest}{form}" for rest in rests}
        film = laid(Path(folder), *names)
        files, strange, others = sidecars(film)
        said = [*names_of(files), *(name for name, _ in strange), *others]
        assert sorted(said) == sorted(name for name in names if not name[4].isalnum())


# ---- what is read, and what is said of the rest ----------------------------------------------


def test_files_that_are_not_used_are_named_with_the_reason(tmp_path):
    film = write_film(tmp_path / "talk.mp4", seconds=3, sound=None)
    laid(tmp_path, "talk.en.srt", "talk.de.srt", "talk.fr.vtt", text=srt())
    laid(tmp_path, "talk.part2.srt", "talk.en.lrc", "talk_v2.srt", text="[00:01.00]Blue.")
    (tmp_path / "talk.en.vtt").write_text("WEBVTT\n\n")
    (tmp_path / "talks.srt").write_text(srt("Another film's."))
    read = decode(film)
    assert [cue.text for cue in read.cues] == ["Red."]
    assert read.source.text_uri == str(tmp_path / "talk.en.srt")
    assert read.source.errors == (
        "talk.en.vtt, talk.en.lrc, talk.de.srt, talk.fr.vtt beside the film: not used, since "
        "talk.en.srt is",
        "talk.part2.srt, talk_v2.srt beside the film: not used, since its language cannot be told "
        "from 'part2', 'v2'; text of this film is named talk.srt or talk.en.srt",
    )


def test_one_text_in_two_forms_is_no_loss(tmp_path):
    """The same times under the same name; another translation, or other entries, are named."""
    film = laid(tmp_path, "talk.srt", text=srt())
    (tmp_path / "talk.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\n<v Guide>Red.\n")
    assert read_beside(film).file.name == "talk.vtt"
    assert read_beside(film).unused == ()
    (tmp_path / "talk.srt").write_text(srt() + "\n" + srt("And more.", 3))
    assert read_beside(film).unused == ("talk.srt beside the film: not used, since talk.vtt is",)


def test_a_text_track_that_is_not_used_is_said(tmp_path):
    film = write_film(tmp_path / "talk.mp4", sound=None, text=[("eng", [(0.5, 1.5, "Inside.")])])
    assert decode(film).source.errors == ()
    laid(tmp_path, "talk.srt", text=srt())
    assert decode(film).source.errors == ("the text track inside: not used, since talk.srt is",)


def test_many_languages_are_counted(tmp_path):
    codes = ["ar", "bg", "cs", "da", "de", "el", "es", "et", "fi", "fr"]
    film = laid(tmp_path, "talk.en.srt", *(f"talk.{code}.srt" for code in codes), text=srt())
    (line,) = read_beside(film).unused
    assert line.startswith("talk.ar.srt, talk.bg.srt, ")
    assert line.endswith(" and 2 more beside the film: not used, since talk.en.srt is")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("talk.srt", "{25}{50}Red.\n{50}{75}Blue.\n"),
        ("talk.sub", "{0}{0}25\n{25}{50}Red.\n{50}{75}Blue.\n"),
        ("talk.txt", "{1}{1}25,000\n{25}{50}Red.\n{50}{75}Blue.\n"),
        ("talk.srt", "[10][20]Red.\n[20][30]Blue.\n"),
        ("talk.mpl", "[10][20]Red.\n[20][30]Blue.\n"),
        ("talk.vtt", "00:00:01:Red.\n00:00:02:Blue.\n"),
        (
            "talk.dfxp",
            '<tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="1s" end="2s">Red.</p>'
            '<p begin="2s" end="3s">Blue.</p></div></body></tt>',
        ),
    ],
)
def test_rarer_forms_are_read_under_any_name(tmp_path, name, text):
    """Also frames without a rate: the film's is theirs."""
    film = write_film(tmp_path / "talk.mp4", seconds=4, fps=25, sound=None)
    (tmp_path / name).write_text(text)
    read = decode(film)
    assert [(cue.start // S, cue.text) for cue in read.cues] == [(1, "Red."), (2, "Blue.")]
    assert read.source.errors == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("talk.lrc", "[00:01.00]Red.\n"),
        ("talk.json3", '{"events": [{"tStartMs": 1000, "segs": [{"utf8": "Red."}]}]}'),
        ("talk.en.srv3", '<timedtext format="3"><body><p t="0" d="9">Red.</p></body></timedtext>'),
        ("talk.xml", "<movie><title>Talk</title></movie>"),
        ("talk.txt", "Dear diary"),
        ("talk.vtt", "Dear diary"),
        ("talk.srt", "{25}{50}Frames, but of no picture"),
        ("talk.srt", ""),
        ("talk.idx", "# VobSub index file, v7"),
        ("talk.fr.sup", "PG"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, name, text):
    film = write_film(tmp_path / "talk.m4a", seconds=0.5, picture=None)
    (tmp_path / name).write_text(text)
    read = decode(film)
    assert (read.cues, read.source.text_uri) == ((), None)
    (error,) = read.source.errors
    assert error.startswith(f"{tmp_path / name}: ")
    assert "\n" not in error


def test_the_pictures_of_a_dvd_are_no_text(tmp_path):
    film = laid(tmp_path, "talk.sub", "talk.idx", text="{1}{2}a")
    assert [line.partition(": ")[2] for line in read_beside(film).unused] == [
        "pictures of text, which are not read"
    ] * 2


def test_a_link_to_nothing_is_said_and_a_folder_is_not(tmp_path):
    film = laid(tmp_path)
    (tmp_path / "talk.srt").symlink_to(tmp_path / "gone.srt")
    (tmp_path / "talk.vtt").mkdir()
    os.mkfifo(tmp_path / "talk.ass")
    (line,) = read_beside(film).unused
    assert line.endswith("talk.srt: unreadable subtitle file (No such file or directory)")


def test_a_name_that_is_not_utf_8_is_said_as_utf_8(tmp_path):
    film = laid(tmp_path)
    os.close(os.open(os.fsencode(tmp_path) + b"/talk.\xff.srt", os.O_CREAT))
    (line,) = read_beside(film).unused
    assert line.encode().startswith(rb"talk.\udcff.srt beside the film: not used")
