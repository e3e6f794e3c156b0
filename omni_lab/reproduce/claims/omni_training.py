"""Claims of article O on the rules by which the omni stage trains: masks, rates, clipping, ratios."""

from __future__ import annotations

from omni_lab.reproduce.claims.claim import ARTICLE, Claim, Evidence

OMNI_TRAINING: tuple[Claim, ...] = (
    Claim(
        "O6",
        "a dynamic mask between modalities",
        "A dynamic mask controls how strongly the modalities interact.",
        (ARTICLE,),
        note="The article does not define it.",
        ours=(
            "Ours is a strength from 0 to 1 for every pair of modalities, which may change during "
            "training."
        ),
        code=("omni_lab/sequences/masking.py",),
        evidence=(
            Evidence(
                "O6",
                (
                    "masks that open during the stage, beside one that closes, one at half strength and "
                    "none"
                ),
                part="an opening mask from text helps",
            ),
            Evidence(
                "O6",
                "the same masks, between what is heard and what is seen",
                part="an opening mask between image and audio helps",
            ),
        ),
    ),
    Claim(
        "O7",
        "learning rates that balance the modalities",
        (
            "Learning rates are adjusted step by step, so that the modalities converge at the same "
            "pace."
        ),
        (ARTICLE,),
        note="How is not said.",
        ours=(
            "A stage can balance its modalities: rates or loss weights by relative loss progress, "
            "OGM-GE, or fixed ratios. By default it does none of this."
        ),
        code=("omni_lab/training/rules/balance.py", "omni_lab/training/optimizers.py"),
        evidence=(
            Evidence(
                "O7",
                (
                    "the rate of one modality's part halved, one at a time, three tries, beside three of "
                    "the plain recipe, in rooms of which a known part cannot be seen or heard"
                ),
                part="fixed ratios beats plain, both tuned",
            ),
            Evidence(
                "O7",
                (
                    "rates that follow relative loss progress, three tries, beside three of the plain "
                    "recipe, in rooms of which a known part cannot be seen or heard"
                ),
                part="rates by progress beats plain, both tuned",
            ),
            Evidence(
                "O7",
                (
                    "loss weights that follow it, three tries, beside three of the plain recipe, in rooms"
                    " of which a known part cannot be seen or heard"
                ),
                part="loss weights by progress beats plain, both tuned",
            ),
            Evidence(
                "O7",
                (
                    "updates of the modality that is ahead slowed, with noise and without, three tries, "
                    "beside three of the plain recipe, in rooms of which a known part cannot be seen or "
                    "heard"
                ),
                part="OGM-GE beats plain, both tuned",
            ),
        ),
    ),
    Claim(
        "O16",
        "60 to 80 % of the unimodal learning rate",
        "The Omni stage begins with 60 to 80 % of the learning rate of the unimodal stages.",
        (ARTICLE,),
        ours="A setting, `lr_scale`. The demo's omni stage runs at its vision stage's full rate.",
        code=("omni_lab/config/training.py",),
        evidence=(
            Evidence(
                "O16",
                "six rates of the omni stage",
                part=".6 to .8 beats all others",
            ),
        ),
    ),
    Claim(
        "O17",
        "gradients clipped every 2,000 steps",
        "Multimodal gradient clipping is done every 2,000 steps.",
        (ARTICLE,),
        note="Why not at every step is not said.",
        ours=(
            "We clip each part of the model by itself, at a fixed threshold. Thresholds that are "
            "renewed from running norms are a setting."
        ),
        code=("omni_lab/training/rules/clipping.py",),
        evidence=(
            Evidence(
                "O17",
                "thresholds by part that are renewed, fixed, by tensor, and none",
                part="renewed thresholds beat no clipping",
            ),
            Evidence(
                "O17",
                "renewed thresholds and a fixed one",
                part="renewed thresholds beat a fixed one",
            ),
        ),
    ),
    Claim(
        "O18",
        "image : text : audio = 8 : 1 : 1",
        "A batch mixes image, text and audio in a ratio of 8 : 1 : 1.",
        (ARTICLE,),
        note="The unit is not said: clips and tokens give very different batches.",
        ours="Both units are offered.",
        code=(
            "omni_lab/sequences/blend.py",
            "omni_lab/data/mixed.py",
            "omni_lab/world/gallery_lessons.py",
        ),
        evidence=(
            Evidence(
                "O18",
                "mixtures of clips with one modality beside clips with all",
                part="8 : 1 : 1 beats 1 : 1 : 1, in clips",
            ),
            Evidence(
                "O18",
                "the same, counted in tokens",
                part="and in tokens",
            ),
            Evidence(
                "O18",
                "omni clips alone",
                part="and omni clips alone",
            ),
        ),
    ),
)
