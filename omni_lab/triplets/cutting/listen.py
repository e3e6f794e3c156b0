"""What is said and by whom, completed by listening: marks in the text first, sound only where they are silent."""

from __future__ import annotations

from dataclasses import replace

from omni_lab.config import TripletConfig
from omni_lab.media.decode import Film
from omni_lab.media.speech.align import align, check_aligner
from omni_lab.media.speech.diarise import name_voices
from omni_lab.media.speech.recognise import check_recogniser, recogniser
from omni_lab.media.speech.vad import check_detector
from omni_lab.triplets.dialogues.roles import read_roles


def heard(film: Film, config: TripletConfig) -> Film:
    """Complete a film's cues: text where it has none, roles from marks, times of words, roles from voices.

    What the file says is never overruled: only a film without cues is recognised, only cues without words are
    aligned, only cues without a role get a voice's.

    Raises
    ------
    UsageError
        the settings ask for what is not installed
    """
    cues = film.cues
    listens = film.audio is not None
    if listens and not cues and config.recogniser != "none":
        found = recogniser(config.recogniser, config.detector).recognise(film.audio)
        cues = tuple(cue.moved(film.audio_start) for cue in found)
    cues = read_roles(cues)
    if listens and config.align_words:
        cues = align(cues, film.audio, film.audio_start)
    if listens and config.voices:
        cues = name_voices(cues, film.audio, film.audio_start)
    return replace(film, cues=cues)


def check_listening(config: TripletConfig) -> None:
    """Refuse settings that ask for what is not there, before the first film is opened.

    Raises
    ------
    UsageError
        the recogniser's checkpoint cannot be found, or its detector or pocketsphinx is not installed
    """
    if config.recogniser != "none":
        check_recogniser(config.recogniser)
        check_detector(config.detector)
    if config.align_words:
        check_aligner()
