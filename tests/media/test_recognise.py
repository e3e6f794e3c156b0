"""Speech recognition: Whisper on spoken words, and the whole listening step on a film."""

import functools
import importlib.util
import sys
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from media_files import write_film
from spoken_words import GUIDE, SECOND, VISITOR, track, with_pocketsphinx

from omni_lab.config import TripletConfig, config_hash
from omni_lab.errors import UsageError
from omni_lab.media.decoding import decode
from omni_lab.media.speech.recognise import Whisper, check_recogniser, recogniser, windows
from omni_lab.media.speech.vad import voice_activity
from omni_lab.media.subtitles.reader import Cue
from omni_lab.triplets.cutting.listen import check_listening, heard

# --- recognition

CHUNK_S = 4  # the small checkpoint hears windows of 4 s
SENTENCES = (("garden river", "lemon"), ("winter", "bridge music"))


def whole_track():
    """Two sentences, 6 s apart, each of two phrases: longer than one window."""
    return track(
        12.0, [(1.0, "garden river"), (2.6, "lemon"), (8.0, "winter"), (9.2, "bridge music")]
    )


@functools.cache
def checkpoint_parts():
    """Small Whisper checkpoint, overfitted on `whole_track`, with tokenizer and features."""
    import torch
    from transformers import (
        AddedToken,
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    torch.manual_seed(0)
    letters = {letter: i for i, letter in enumerate(bytes_to_unicode().values())}
    tokenizer = WhisperTokenizer(vocab={**letters, "<|endoftext|>": len(letters)}, merges=[])
    special = [
        "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>",
        "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
    ]  # fmt: skip
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.add_tokens(
        [AddedToken(f"<|{i * 0.02:.2f}|>", special=False) for i in range(50 * CHUNK_S + 1)]
    )
    number = tokenizer.convert_tokens_to_ids
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(tokenizer), d_model=64, encoder_layers=1, decoder_layers=1,
            encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=128,
            decoder_ffn_dim=128, max_source_positions=50 * CHUNK_S, max_target_positions=64,
            num_mel_bins=40, dropout=0.0, pad_token_id=number("<|endoftext|>"),
            bos_token_id=number("<|endoftext|>"), eos_token_id=number("<|endoftext|>"),
            decoder_start_token_id=number("<|startoftranscript|>"),
        )
    )  # fmt: skip
    model.generation_config = GenerationConfig(
        decoder_start_token_id=number("<|startoftranscript|>"),
        eos_token_id=number("<|endoftext|>"), pad_token_id=number("<|endoftext|>"),
        bos_token_id=number("<|endoftext|>"), max_length=60,
        no_timestamps_token_id=number("<|notimestamps|>"), is_multilingual=True,
        alignment_heads=[[0, 0], [0, 1]], max_initial_timestamp_index=50,
        lang_to_id={name: number(name) for name in ("<|en|>", "<|de|>")},
        task_to_id={"transcribe": number("<|transcribe|>"), "translate": number("<|translate|>")},
    )  # fmt: skip

    # One labelled window per sentence, with its phrases between timestamp tokens.
    listen = WhisperFeatureExtractor(feature_size=40, chunk_length=CHUNK_S)
    sound, spans = whole_track()
    features, labels = [], []
    for (first, last), phrases, times in zip(
        windows(sound, CHUNK_S * SECOND, "energy"), SENTENCES, (spans[:2], spans[2:]), strict=True
    ):
        wave = sound[first:last].astype(np.float32) / 32768
        features.append(listen(wave, sampling_rate=SECOND, return_tensors="pt").input_features[0])
        transcript = "<|en|><|transcribe|>"
        for text, (a, b) in zip(phrases, times, strict=True):
            start, end = (round((t - first) / 320) * 0.02 for t in (a, b))
            transcript += (
                f"<|{max(0, start):.2f}|> {text}<|{min(end, (last - first) / SECOND):.2f}|>"
            )
        ids = tokenizer.encode(transcript + "<|endoftext|>", add_special_tokens=False)
        labels.append(ids)

    longest = max(map(len, labels))
    labels = torch.tensor([ids + [-100] * (longest - len(ids)) for ids in labels])
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    for _ in range(80):
        loss = model(input_features=torch.stack(features), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval(), tokenizer, listen


def save_checkpoint(folder, **changes):
    """Write the checkpoint as checkpoints are published; `changes` go to its generation config."""
    model, tokenizer, listen = checkpoint_parts()
    for part in (model, tokenizer, listen):
        part.save_pretrained(folder)
    if changes:
        settings_of = type(model.generation_config).from_dict(
            {**model.generation_config.to_dict(), **changes}
        )
        settings_of.save_pretrained(folder)
    return str(folder)


def test_whisper_writes_what_it_learned_at_its_times(tmp_path):
    """Loading, windows, language, decoding and times, on two windows with two phrases each."""
    sound, spans = whole_track()
    cues = Whisper(save_checkpoint(tmp_path), "energy").recognise(sound)
    assert [cue.text for cue in cues] == [phrase for sentence in SENTENCES for phrase in sentence]
    for cue, (start, end) in zip(cues, spans, strict=True):
        assert cue.text_source == "asr" and cue.role is None
        assert abs(cue.start - start) < 0.05 * SECOND and abs(cue.end - end) < 0.05 * SECOND
        assert [word.text for word in cue.words] == cue.text.split()


def test_whisper_invents_nothing_for_silence(tmp_path):
    whisper = Whisper(save_checkpoint(tmp_path), "energy")
    assert whisper.recognise(np.zeros(20 * SECOND, np.int16)) == ()
    assert whisper.recognise(np.zeros(0, np.int16)) == ()


def test_whatever_whisper_writes_lies_inside_the_sound(tmp_path):
    """A sound that it never heard: nonsense is to be expected, times outside are not."""
    whisper = Whisper(save_checkpoint(tmp_path), "energy")
    for seed, voice in enumerate((GUIDE, VISITOR)):
        sound, _ = track(
            9.3, [(0.0, "silver"), (2.0, "apple diamond circle"), (8.6, "star")], voice, seed=seed
        )
        for cue in whisper.recognise(sound):
            assert 0 <= cue.start <= cue.end <= sound.size
            assert all(0 <= word.start <= word.end <= sound.size for word in cue.words)


def test_a_sentence_that_whisper_left_unfinished_is_read_again_from_its_beginning(monkeypatch):
    """Each reading ends with the last whole sentence; one without progress ends the window."""
    heard_lengths = []

    def read(self, sound, language, length):
        heard_lengths.append(length)
        reach = SECOND if len(heard_lengths) < 3 else 0
        return [
            Cue(0, reach, f"part {len(heard_lengths)}", text_source="asr")
        ] if reach else [], reach

    whisper = object.__new__(Whisper)
    whisper.detector = "energy"
    whisper.processor = SimpleNamespace(feature_extractor=SimpleNamespace(n_samples=8 * SECOND))
    for name, replacement in (
        ("_features", lambda *_: None),
        ("_language", lambda *_: None),
        ("_read", read),
    ):
        monkeypatch.setattr(Whisper, name, replacement)
    sound, _ = track(10.0, [(2.0, "garden river lemon winter"), (4.5, "music bridge apple silver")])
    ((first, last),) = windows(sound, 8 * SECOND, "energy")
    cues = whisper.recognise(sound)
    assert [(cue.start, cue.text) for cue in cues] == [
        (first, "part 1"),
        (first + SECOND, "part 2"),
    ]
    assert heard_lengths == [last - first - i * SECOND for i in range(3)]


def test_a_checkpoint_without_alignment_heads_gives_no_words(tmp_path):
    cues = Whisper(save_checkpoint(tmp_path, alignment_heads=None), "energy").recognise(
        whole_track()[0]
    )
    assert [cue.text for cue in cues][:2] == ["garden river", "lemon"]
    assert all(cue.words == () for cue in cues)


def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path):
    from transformers import BertConfig

    with pytest.raises(
        UsageError, match=r"'nobody/nothing' cannot be loaded \(.*\): give the folder"
    ) as caught:
        recogniser("nobody/nothing", "energy")
    assert "\n" not in str(caught.value)
    BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(UsageError, match="is a bert model: give the folder of a Whisper"):
        check_recogniser(str(tmp_path / "bert"))
    folder = save_checkpoint(tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").unlink()
    check_recogniser(folder)
    with pytest.raises(UsageError, match="is not whole"):
        Whisper(folder, "energy")


def test_windows_cover_all_speech_and_end_in_pauses():
    sound, spans = track(30.0, [(t, "garden") for t in (1, 2, 3, 9, 10, 11, 12, 13, 25)], noise=0)
    laid = windows(sound, 4 * SECOND, "energy")
    assert all(0 < b - a <= 4 * SECOND for a, b in laid)
    assert all(a[1] <= b[0] for a, b in pairwise(laid))
    assert all(any(a <= start and end <= b for a, b in laid) for start, end in spans)
    assert len(laid) == 4


def test_speech_without_a_pause_is_cut_where_it_is_softest():
    time = np.arange(10 * SECOND) / SECOND
    sound = 9000 * np.sin(2 * np.pi * 200 * time) * np.where(abs(time - 3.5) < 0.05, 0.5, 1)
    laid = windows(np.pad(sound.astype(np.int16), 2 * SECOND), 4 * SECOND, "energy")
    assert (
        abs(laid[0][0] - 2 * SECOND) < 0.1 * SECOND
        and abs(laid[-1][1] - 12 * SECOND) < 0.1 * SECOND
    )
    assert all(a[1] == b[0] for a, b in pairwise(laid))
    assert abs(laid[0][1] - 5.5 * SECOND) < 0.06 * SECOND
    assert all(b - a <= 4 * SECOND for a, b in laid)


def test_a_detector_that_is_not_installed_is_never_replaced(monkeypatch):
    """Another detector hears other words: it is a setting, and so in every clip's config_hash."""
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "silero_vad" else find_spec(name)
    )
    for work in (
        lambda: voice_activity(np.zeros(SECOND, np.int16), "silero"),
        lambda: check_listening(TripletConfig(recogniser=save_checkpoint(Path("whisper")))),
    ):
        with pytest.raises(UsageError, match="needs silero-vad: pip install .*, or take 'energy'"):
            work()
    check_listening(TripletConfig())
    # "whisper" is the folder that was saved above
    check_listening(TripletConfig(recogniser="whisper", detector="energy"))
    assert config_hash(TripletConfig(detector="energy")) != config_hash(
        TripletConfig(detector="silero")
    )


# --- all of it on a film


@pytest.fixture
def film(tmp_path):
    """A film whose sound begins half a second late, with `whole_track` in it."""
    samples = (
        np.concatenate([np.zeros(8000, np.int16), whole_track()[0]]).astype(np.float32) / 32768
    )
    path = write_film(
        tmp_path / "film.mkv",
        12.0,
        fps=5,
        sound="flac",
        rate=SECOND,
        layout="mono",
        samples=samples,
    )
    return decode(path)


def test_a_film_without_text_gets_it_and_one_with_text_keeps_its_own(tmp_path, film):
    source = save_checkpoint(tmp_path / "whisper")
    recognised = heard(film, TripletConfig(recogniser=source, detector="energy"))
    assert [cue.text for cue in recognised.cues][:2] == ["garden river", "lemon"]
    assert abs(recognised.cues[0].start - 1.5 * SECOND) < 0.06 * SECOND
    own = replace(film, cues=(Cue(0, SECOND, "GUIDE: What is written."),))
    assert [
        cue.text for cue in heard(own, TripletConfig(recogniser=source, detector="energy")).cues
    ] == ["What is written."]


def test_nothing_is_changed_but_roles_read_where_nothing_is_asked(film):
    marked = replace(film, cues=(Cue(0, SECOND, "GUIDE: Red."),))
    assert heard(film, TripletConfig()).cues == ()
    assert heard(marked, TripletConfig()).cues == (Cue(0, SECOND, "Red.", "guide", "prefix"),)


@with_pocketsphinx
def test_words_belong_to_the_text_without_its_marks(film):
    """Roles are read before words are aligned: else every count of words would be one off."""
    cue = Cue(round(1.4 * SECOND), round(3.6 * SECOND), "GUIDE: Garden river, lemon!")
    (aligned,) = heard(replace(film, cues=(cue,)), TripletConfig(align_words=True)).cues
    assert aligned.role == "guide" and [word.text for word in aligned.words] == [
        "Garden",
        "river,",
        "lemon!",
    ]
    assert abs(aligned.words[2].start - 3.1 * SECOND) < 0.1 * SECOND


def test_a_film_without_sound_is_left_alone(film):
    silent = replace(film, audio=None, cues=(Cue(0, SECOND, "Red."),))
    everything = TripletConfig(align_words=True, voices=True)
    assert heard(silent, everything).cues == silent.cues
    assert (
        heard(replace(silent, cues=()), replace(everything, recogniser="nobody/nothing")).cues == ()
    )


def test_what_is_missing_is_said_before_the_first_film(monkeypatch):
    check_listening(TripletConfig())
    with pytest.raises(UsageError, match="triplets.recogniser = 'nobody/nothing' cannot be loaded"):
        check_listening(TripletConfig(recogniser="nobody/nothing"))
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(UsageError, match="pip install"):
        check_listening(TripletConfig(align_words=True))
