"""Speech recognition, word alignment and voice diarisation of a film, where its cues lack them.

Text marks come first: the sound is asked only where the file is silent.
"""

from __future__ import annotations

from dataclasses import replace

from omni_lab.config import TripletConfig
from omni_lab.media.decoding import Film
from omni_lab.media.speech.align import align, check_aligner
from omni_lab.media.speech.diarise import name_voices
from omni_lab.media.speech.recognise import check_recogniser, recogniser
from omni_lab.media.speech.vad import check_detector
from omni_lab.triplets.dialogues.roles import read_roles


def heard(film: Film, config: TripletConfig) -> Film:
    """Film with completed cues: recognised text, roles from marks, word times, roles from voices.

    Information in the file is never overruled: only a film without cues is recognised, only cues
    without word times are aligned, only cues without a role get a voice's.

    Raises
    ------
    UsageError
        the settings ask for a package or checkpoint that is not installed
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
    """Availability check of recogniser, voice detector and aligner, before any film is opened.

    Raises
    ------
    UsageError
        the recogniser's checkpoint is missing, or its detector or pocketsphinx is not installed
    """
    if config.recogniser != "none":
        check_recogniser(config.recogniser)
        check_detector(config.detector)
    if config.align_words:
        check_aligner()
