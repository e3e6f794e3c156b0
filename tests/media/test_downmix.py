"""Downmix to mono: channels that cancel each other silence nothing, and others are mixed."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from omni_lab.media.decoding import decode
from omni_lab.media.downmix import Downmix

RATE = 48_000


def tone(seconds: float = 3.0, hertz: float = 440.0) -> np.ndarray:
    return 0.24 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def noise(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    return 0.2 * np.random.default_rng(seed).standard_normal(round(seconds * RATE)).clip(-4, 4)


def written(path: Path, *channels: np.ndarray, subtype: str | None = None) -> Path:
    soundfile.write(path, np.stack(channels, axis=1), RATE, subtype=subtype)
    return path


def level(audio: np.ndarray) -> float:
    """Root mean square, full scale 1."""
    return float(np.sqrt(np.square(audio / 32_768).mean()))


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_U8"),
        ("a.wav", "PCM_16"),
        ("a.wav", "PCM_24"),
        ("a.wav", "DOUBLE"),
        ("a.flac", None),
        ("a.mp3", None),
        ("a.ogg", None),
    ],
)
def test_an_inverted_channel_silences_nothing(tmp_path, name, subtype):
    """In any format and codec: one channel is heard, all of it, and the errors say so."""
    film = decode(written(tmp_path / name, tone(), -tone(), subtype=subtype))
    assert level(film.audio) == pytest.approx(level(32_768 * tone()), rel=0.02)
    assert film.audio.size == 48_000
    assert film.audio_gaps == ()
    (error,) = film.source.errors
    assert error.startswith("the channels of the sound cancel in the mix to mono")


def test_one_inverted_beside_its_own_noise(tmp_path):
    """Speech cancels, what each microphone hears alone does not: the speech is what counts."""
    hiss = 0.05
    left, right = tone() + hiss * noise(seed=1), -tone() + hiss * noise(seed=2)
    film = decode(written(tmp_path / "a.wav", left, right))
    assert level(film.audio) == pytest.approx(level(32_768 * tone()), rel=0.02)


@pytest.mark.parametrize("layout", ["quad", "5.1", "7.1"])
def test_inverted_channels_of_any_layout(layout):
    import av

    from omni_lab.media.sound import SoundLine

    names = [channel.name for channel in av.AudioLayout(layout).channels]
    samples = np.zeros((len(names), 3 * RATE), np.float32)
    samples[names.index("FL")], samples[names.index("FR")] = tone(), -tone()
    frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1), format="flt", layout=layout)
    frame.sample_rate = RATE
    line = SoundLine()
    line.add(frame, 0)
    assert level(line.finish()[0]) == pytest.approx(level(32_768 * tone()), rel=0.02)


@pytest.mark.parametrize("share", [-0.5, 0.0, 0.5, 1.0])
def test_channels_that_do_not_cancel_are_mixed(tmp_path, share):
    """Music, wide or narrow: the mean of both channels, and nothing to list."""
    left = noise()
    right = share * left + np.sqrt(1 - share**2) * noise(seed=1)
    film = decode(written(tmp_path / "a.wav", left.clip(-0.9, 0.9), right.clip(-0.9, 0.9)))
    mean = decode(written(tmp_path / "b.wav", (left.clip(-0.9, 0.9) + right.clip(-0.9, 0.9)) / 2))
    assert film.source.errors == ()
    assert np.abs(film.audio - mean.audio.astype(int)).max() <= 2


def test_eight_planes_of_an_encoder_are_read(tmp_path):
    """AAC of eight channels, left and right inverted."""
    import av

    samples = np.zeros((2 * RATE, 8), np.float32)
    samples[:, 0], samples[:, 1] = tone(2), -tone(2)
    with av.open(str(tmp_path / "a.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="7.1")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="7.1")
        frame.sample_rate, frame.pts = RATE, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    film = decode(tmp_path / "a.m4a")
    assert film.audio.size == 32_000
    assert level(film.audio) == pytest.approx(level(32_768 * tone()), rel=0.05)


def test_one_silent_channel_is_no_cancellation(tmp_path):
    film = decode(written(tmp_path / "a.wav", tone(), 0 * tone()))
    assert film.source.errors == ()
    assert level(film.audio) == pytest.approx(level(32_768 * tone()) / 2, rel=0.02)


def test_polarity_that_changes_on_the_way(tmp_path):
    """A second in phase, a second inverted, again and again: no sample more, none lost."""
    sign = np.repeat([1.0, -1, 1, -1, 1], RATE)
    sound = tone(5, 441.3)
    film = decode(written(tmp_path / "a.wav", sound, sign * sound))
    assert film.audio.size == 80_000
    assert film.audio_gaps == ()
    for second in range(5):
        heard = film.audio[16_000 * second + 8_000 : 16_000 * second + 14_000]
        assert level(heard) == pytest.approx(level(32_768 * tone()), rel=0.02)
    assert "(2 times" in film.source.errors[0]


def test_what_nobody_hears_is_left_alone(tmp_path):
    """The rest that encoders leave in pauses is often inverted: nothing to mend, nothing to list."""
    film = decode(written(tmp_path / "a.wav", 1e-3 * tone(), -1e-3 * tone(), subtype="FLOAT"))
    assert film.source.errors == ()


@pytest.mark.parametrize("layout", ["stereo", "3.0", "7.1(wide)", "22.2", "2 channels"])
@pytest.mark.parametrize("form", ["s64", "s16", "dblp"])
def test_any_layout_and_any_format_is_mixed(layout, form):
    """Formats that NumPy is not handed, planes beyond eight, channels without names."""
    import av
    from av.audio.resampler import AudioResampler

    from omni_lab.media.sound import SoundLine

    channels = int(layout.split()[0]) if " " in layout else av.AudioLayout(layout).nb_channels
    samples = np.full((1, RATE * channels), 0.25, np.float32)
    frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
    frame.sample_rate = RATE
    (frame,) = AudioResampler(format=form).resample(frame)
    line = SoundLine()
    line.add(frame, 0)
    audio, *_ = line.finish()
    assert audio.size == 16_000
    assert audio[8_000] == pytest.approx(8192, abs=2)


def test_a_whole_sound_is_the_mean_of_its_channels_unless_they_cancel():
    rate, time = 16_000, np.arange(32_000) / 16_000
    wave = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    alike = np.stack([wave, 0.5 * wave], axis=1)
    assert np.allclose(Downmix().mean(alike, rate), 0.75 * wave, atol=1e-6)
    assert np.array_equal(Downmix().mean(wave[:, None], rate), wave)

    # its right channel is inverted from the second second on
    turned = np.stack([wave, np.where(time < 1, wave, -wave)], axis=1)
    mixed = Downmix().mean(turned, rate)
    assert np.allclose(mixed[:16_000], wave[:16_000], atol=1e-6)
    assert np.allclose(np.abs(mixed[22_400:]), np.abs(wave[22_400:]), atol=1e-6)
