"""Claims O1 to O22: an article on the Omni pretraining stage of OmniLMM (today MiniCPM-o)."""

from __future__ import annotations

from omni_lab.reproduce.claims.claim import ARTICLE, MAINTAINER, Claim, Evidence

OMNILMM: tuple[Claim, ...] = (
    Claim(
        "O1",
        "data are triplets, cut from video",
        (
            "Data for omni pretraining come from video. Aligning what is seen and heard takes a "
            "film apart into triplets: image frames, an audio stream, and the text of the "
            "subtitles."
        ),
        (MAINTAINER, ARTICLE),
        note="A maintainer confirms the video; the triplets are the article's word.",
        ours="Any film becomes such clips, on one clock of 16,000 ticks a second.",
        code=(
            "omni_lab/triplets/record.py",
            "omni_lab/triplets/building/build.py",
            "omni_lab/media/clock.py",
        ),
        evidence=(
            Evidence(
                "demo",
                "learns from such clips; they are compared with no other kind of data",
            ),
            Evidence(
                "from_films",
                (
                    "films alone, cut into such clips, are compared with the generator, which never "
                    "shows a scene twice. That asks how much film it takes, not whether triplets are "
                    "better than other data"
                ),
            ),
        ),
    ),
    Claim(
        "O2",
        "role-play dialogues",
        (
            "The data include role-play dialogues in which the modalities take turns, as they do in"
            " conversation."
        ),
        (MAINTAINER,),
        note=(
            "A maintainer compares them with the dialogues of "
            "[Moshi](https://arxiv.org/abs/2410.00037)."
        ),
        ours="A clip can be written as turns of its roles, for training here or elsewhere.",
        code=(
            "omni_lab/triplets/dialogues/roleplay.py",
            "omni_lab/triplets/dialogues/export.py",
        ),
    ),
    Claim(
        "O3",
        "supervision while it streams",
        (
            "Sound and pictures that stream in guide the text *and the speech* that the model "
            "generates at that moment."
        ),
        (MAINTAINER,),
        note=(
            "As the maintainers put it, what streams in supervises the text and speech of one role,"
            " by a cross-entropy loss and nothing else."
        ),
        ours="The words of one role are supervised, second by second. Speech is not generated yet.",
        code=(
            "omni_lab/sequences/stream.py",
            "omni_lab/training/losses/objective.py",
        ),
    ),
    Claim(
        "O4",
        "one sequence in which image, audio and text alternate",
        "The input of the model is a single sequence of alternating image, audio and text.",
        (MAINTAINER,),
        note=(
            "In MiniCPM-o's code a unit is `<unit>`, a frame and one second of sound: time-division"
            " multiplexing."
        ),
        ours="The omni stream is written this way.",
        code=("omni_lab/sequences/stream.py",),
        evidence=(
            Evidence(
                "demo",
                "learns from such a sequence; it is compared with no other order",
            ),
            Evidence(
                "from_films",
                "the same, from films alone",
            ),
        ),
    ),
    Claim(
        "O13",
        "clips of 5 to 15 seconds",
        "Training clips last 5 to 15 seconds.",
        (ARTICLE,),
        ours=(
            "Cutting keeps to it for any film longer than 15 s. That this length is the best is not"
            " shown."
        ),
        code=(
            "omni_lab/triplets/cutting/clips.py",
            "omni_lab/config/data.py",
        ),
    ),
    Claim(
        "O14",
        "sound at 16 kHz",
        "Sound has 16,000 samples a second.",
        (MAINTAINER,),
        ours="It is our clock too: one tick is one sample.",
        code=(
            "omni_lab/media/clock.py",
            "omni_lab/media/sound.py",
        ),
    ),
    Claim(
        "O15",
        "text carries its speaker's role",
        "Text is marked with the role of its speaker.",
        (ARTICLE,),
        ours="Roles are read from the marks of subtitles, or found by voice.",
        code=(
            "omni_lab/triplets/dialogues/roles.py",
            "omni_lab/media/speech/diarise.py",
        ),
    ),
    Claim(
        "O19",
        "retrieval as an auxiliary metric",
        "The accuracy of cross-modal retrieval is a useful auxiliary metric.",
        (ARTICLE,),
        ours="Recall at 1 and at 5 is measured in all six directions.",
        code=("omni_lab/evaluation/retrieval.py",),
        evidence=(
            Evidence(
                "demo",
                "records retrieval; whether it tells anything about the answers is not asked",
            ),
        ),
    ),
    Claim(
        "O20",
        "a modality confusion matrix",
        "Watch how a modality confusion matrix changes during training.",
        (ARTICLE,),
        note="No definition has been published.",
        ours=(
            "Ours asks for one sense in rooms where the senses contradict each other, and counts "
            "which one the answer follows."
        ),
        code=("omni_lab/evaluation/gallery/reliance.py",),
        evidence=(
            Evidence(
                "demo",
                "measures our matrix at the end of each run; no criterion is about it",
            ),
        ),
    ),
    Claim(
        "O21",
        "look at attention across modalities",
        "Visualise regularly how attention travels from one modality to another.",
        (ARTICLE,),
        ours="Attention per pair of modalities is measured exactly. It is a hint, not an explanation.",
        code=(
            "omni_lab/analysis/attention/mass.py",
            "omni_lab/analysis/attention/capture.py",
        ),
    ),
    Claim(
        "O22",
        "context is kept more naturally",
        (
            "Compared with training in separate stages, the model keeps the context of real-time "
            "multimodal use (a smart guide, remote collaboration) more naturally."
        ),
        (ARTICLE,),
        note="What would measure it is not said.",
    ),
)
