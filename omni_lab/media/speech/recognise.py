"""Speech recognition by Whisper, for films without text.

Whisper reads windows of 30 s. Voice activity detection decides where they lie, so that none is mere
silence, for which the model would invent words, and so that they end in pauses. The language is
that of the first window.
"""

from __future__ import annotations

import functools
from bisect import bisect_right

import numpy as np
from jaxtyping import Int16

from omni_lab.config import TICKS_PER_SECOND
from omni_lab.errors import UsageError
from omni_lab.media.clock import ticks
from omni_lab.media.speech.vad import WINDOW, loudness, voice_activity
from omni_lab.media.subtitles.reader import Cue, Word
from omni_lab.media.subtitles.words import word_spans

LEFT_OVER = TICKS_PER_SECOND  # a rest of a window shorter than this is not read again


@functools.lru_cache(maxsize=1)
def recogniser(source: str, detector: str) -> Whisper:
    """Speech recogniser of that name, loaded once per process.

    Parameters
    ----------
    source : folder or hub name of a Whisper checkpoint
    detector : as in `voice_activity`

    Raises
    ------
    UsageError
        the checkpoint does not exist, is incomplete, or is not one of Whisper
    """
    return Whisper(source, detector)


def check_recogniser(source: str) -> None:
    """Whisper checkpoint check, without loading its weights.

    Raises
    ------
    UsageError
        the checkpoint fails to load, or is another kind of model
    """
    from transformers import AutoConfig

    named = f"triplets.recogniser = {source!r}"
    right = "give the folder of a Whisper checkpoint, its name on the hub (openai/whisper-small)"
    try:
        kind = AutoConfig.from_pretrained(source).model_type
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{named} cannot be loaded ({reason}): {right}, or none") from error
    if kind != "whisper":
        raise UsageError(f"{named} is a {kind} model: {right}, or none")


class Whisper:
    """Whisper speech recogniser (Radford et al. 2022, arXiv:2212.04356).

    Any checkpoint in the layout of transformers. Words get times where the checkpoint names the
    attention heads that follow the sound (`alignment_heads`).

    Parameters
    ----------
    source : folder or hub name
    detector : as in `voice_activity`

    Raises
    ------
    UsageError
        the checkpoint does not exist, is incomplete, or is not one of Whisper
    """

    def __init__(self, source: str, detector: str):
        import torch
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        check_recogniser(source)
        on_gpu = torch.cuda.is_available()
        device, dtype = ("cuda", torch.float16) if on_gpu else ("cpu", torch.float32)
        try:
            model = WhisperForConditionalGeneration.from_pretrained(
                source, dtype=dtype, use_safetensors=True
            )
            self.processor = WhisperProcessor.from_pretrained(source)
        except (OSError, ValueError) as error:
            what = f"triplets.recogniser = {source!r} is not whole ({str(error).splitlines()[0]})"
            needs = "it needs weights as safetensors, a tokenizer and a preprocessor_config.json"
            raise UsageError(f"{what}: {needs}") from error

        self.detector = detector
        self.model = model.to(device).eval()
        self.settings = self.model.generation_config
        self.has_words = getattr(self.settings, "alignment_heads", None) is not None

    def recognise(self, audio: Int16[np.ndarray, " samples"]) -> tuple[Cue, ...]:
        """Transcript as cues, window by window; `text_source` is "asr".

        Parameters
        ----------
        audio : 16 kHz mono

        Returns
        -------
        cues in order of time, in ticks from the first sample
        """
        cues: list[Cue] = []
        language = None
        longest = self.processor.feature_extractor.n_samples
        for first, last in windows(audio, longest, self.detector):
            at = first
            while last - at >= LEFT_OVER or at == first:
                sound = self._features(audio[at:last])
                language = language or self._language(sound)
                found, read = self._read(sound, language, last - at)
                cues += [cue.moved(at) for cue in found]
                if read < LEFT_OVER:
                    break
                at += read  # Whisper leaves an unfinished sentence out: reading resumes there
        return tuple(cues)

    def _features(self, samples: np.ndarray):
        """Log-mel features of a window, padded to Whisper's length, with the attention mask."""
        wave = samples.astype(np.float32) / 32768
        sound = self.processor.feature_extractor(
            wave, sampling_rate=TICKS_PER_SECOND, return_tensors="pt", return_attention_mask=True
        )
        return sound.to(self.model.device, self.model.dtype)

    def _language(self, sound) -> str | None:
        """Language identification: the token of the language; None where there is only one."""
        known = getattr(self.settings, "lang_to_id", None)
        if not known:
            return None
        detected = int(self.model.detect_language(sound.input_features)[0])
        return next(name for name, number in known.items() if number == detected)

    def _read(self, sound, language: str | None, length: int) -> tuple[list[Cue], int]:
        """Cues of one window of `length` ticks, read once, and how far (ticks) they reach."""
        wanted = {"language": language, "task": "transcribe"} if language else {}
        out = self.model.generate(
            sound.input_features,
            attention_mask=sound.attention_mask,
            return_timestamps=True,
            return_token_timestamps=self.has_words,
            return_segments=True,
            force_unique_generate_call=True,
            **wanted,
        )

        segments = out["segments"][0]
        cues = [self._cue(segment, length) for segment in segments]
        reach = min(ticks(float(segments[-1]["end"])), length) if segments else 0
        return [cue for cue in cues if cue.text], reach

    def _cue(self, segment: dict, length: int) -> Cue:
        """Cue of one of Whisper's segments, inside its window of `length` ticks."""
        tokenizer = self.processor.tokenizer
        start, end = (min(ticks(float(segment[edge])), length) for edge in ("start", "end"))
        tokens = segment["tokens"].tolist()
        text = " ".join(tokenizer.decode(tokens, skip_special_tokens=True).split())
        words: tuple[Word, ...] = ()
        if self.has_words:
            times = [min(ticks(float(time)), length) for time in segment["token_timestamps"]]
            words = _words(tokenizer, tokens, times, text)
        return Cue(start, max(start, end), text, text_source="asr", words=words)


def windows(
    audio: Int16[np.ndarray, " samples"], longest: int, detector: str
) -> list[tuple[int, int]]:
    """Recognition windows over all speech: they begin with speech and end in pauses.

    Speech without a pause for `longest` is cut where it is softest in the window's last third.

    Parameters
    ----------
    audio : 16 kHz mono
    longest : of a window, samples
    detector : as in `voice_activity`

    Returns
    -------
    (start, end) in samples, in order
    """
    laid: list[tuple[int, int]] = []
    for first, last in voice_activity(audio, detector=detector):
        while last - first > longest:
            third = first + 2 * longest // 3
            window = int(np.argmin(loudness(audio[third : first + longest])))
            softest = third + window * WINDOW + WINDOW // 2
            laid.append((first, softest))
            first = softest
        if laid and last - laid[-1][0] <= longest:
            laid[-1] = laid[-1][0], last
        else:
            laid.append((first, last))
    return laid


def _words(tokenizer, tokens: list[int], times: list[int], text: str) -> tuple[Word, ...]:
    """Word timestamps from token timestamps: a word lasts until the token after it begins.

    A character of several tokens, as rare ones are, is there with the last of them. No words where
    the tokens do not make up the text.
    """
    special = set(tokenizer.all_special_ids)
    last_special = max(special)
    # timestamp tokens have the largest ids
    kept = [i for i, t in enumerate(tokens) if t not in special and t <= last_special]
    inside = [tokens[i] for i in kept]
    whole = tokenizer.decode(inside)
    if whole.split() != text.split():
        return ()

    # characters that are written once each token is; a broken one at the end is not yet
    written = [len(tokenizer.decode(inside[: n + 1]).rstrip("\ufffd")) for n in range(len(inside))]
    written[-1:] = [len(whole)]
    words = []
    for start, end in word_spans(whole):
        first, last = (kept[bisect_right(written, at)] for at in (start, end - 1))
        until = times[min(last + 1, len(times) - 1)]
        words.append(Word(times[first], max(times[first], until), whole[start:end]))
    return tuple(words)
