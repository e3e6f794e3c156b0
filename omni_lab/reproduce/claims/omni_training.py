"""Claims of article O on how the omni stage is trained: O5 to O12, O16 to O18."""

from __future__ import annotations

from omni_lab.reproduce.claims.claim import ARTICLE, MAINTAINER, Claim, Evidence

OMNI_TRAINING: tuple[Claim, ...] = (
    Claim(
        "O5",
        "every parameter trains",
        "In the Omni stage all parameters are trained, and nothing is frozen.",
        (MAINTAINER,),
        ours="So it is in our omni stage. Which parts train is a setting of each stage.",
        code=(
            "omni_lab/config/training.py",
            "omni_lab/training/optimizers.py",
        ),
        evidence=(
            Evidence(
                "O5",
                "the omni stage with every part, without the encoders, and without the decoder",
                part="all parameters beat frozen encoders",
            ),
            Evidence(
                "O5",
                "the same, beside encoders that learn for a decoder which stays",
                part="all parameters beat a frozen decoder",
            ),
        ),
    ),
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
        "O8",
        "vision stage, audio stage, then omni",
        (
            "Vision pretraining uses single images with text, updates the vision encoder only, and "
            "practises captioning. Audio pretraining uses sound with text, updates the audio "
            "encoder only, and practises speech recognition. The Omni stage trains everything on "
            "synchronised streams, with multimodal dialogue as its task."
        ),
        (ARTICLE,),
        note=(
            "The report on [MiniCPM-o 4.5](https://arxiv.org/abs/2604.27393) describes the reverse "
            "of the middle part (section 5.1): encoders that come pretrained stay *frozen*, and new"
            " projectors and the speech decoder train."
        ),
        ours=(
            "The demo has the three stages. Its small decoder trains in all of them, because it "
            "begins with random weights; the preset `full_7b` keeps its decoder still in the first "
            "two."
        ),
        code=(
            "omni_lab/config/training.py",
            "omni_lab/config/presets.py",
        ),
        evidence=(
            Evidence(
                "demo",
                "is trained in these three stages; what trains in them is not varied",
            ),
            Evidence(
                "O8",
                (
                    "unimodal stages that train the encoder, the connector, both, or those and the "
                    "decoder"
                ),
                part="the encoder alone is enough",
            ),
            Evidence(
                "O8",
                "unimodal stages that train the connector alone, beside the encoder alone",
                part="the connector alone is better (MiniCPM-o 4.5)",
            ),
        ),
    ),
    Claim(
        "O9",
        "the unimodal stages help",
        "A model that starts the Omni stage from the unimodal stages ends up better.",
        (ARTICLE,),
        ours="Stages can be chosen by name: `--stages omni` begins with new weights.",
        code=("omni_lab/training/trainer.py",),
        evidence=(
            Evidence(
                "O9",
                "the same omni stage from unimodal stages and from new weights",
                part="at as many omni steps",
            ),
            Evidence(
                "O9",
                "new weights that get the steps of all stages",
                part="at as many steps in all",
            ),
        ),
    ),
    Claim(
        "O10",
        "omni training lasts 1.2 times as long",
        "Omni training should last at least 1.2 times as long as the unimodal stages together.",
        (ARTICLE,),
        note="The unit (steps, tokens, hours) is not said.",
        ours="The demo does not follow it: its omni stage has fewer steps than the other two together.",
        code=("omni_lab/config/training.py", "omni_lab/config/presets.py"),
        evidence=(
            Evidence(
                "O10",
                "omni stages of .3 to 2.4 times the steps of the unimodal ones together",
                part="1.2 beats 0.6 by .01",
            ),
            Evidence(
                "O10",
                "the two longest omni stages",
                part="2.4 still beats 1.2 by .01",
            ),
        ),
    ),
    Claim(
        "O11",
        "alignment first, generation later",
        "A curriculum puts aligning the modalities first and generating later.",
        (ARTICLE,),
        ours=(
            "In our omni stage a contrastive loss fades while generation goes on. Other orders are "
            "phases of a stage, ended by competence or at a cap."
        ),
        code=(
            "omni_lab/training/rules/schedules.py",
            "omni_lab/training/losses/contrastive.py",
        ),
        evidence=(
            Evidence(
                "O11",
                "alignment before, beside, after and without generation, at as many steps",
                part="alignment first beats both together",
            ),
            Evidence(
                "O11",
                "a contrastive loss that fades, and none",
                part="alignment beats none",
            ),
            Evidence(
                "O11",
                "the two orders",
                part="alignment first beats generation first",
            ),
        ),
    ),
    Claim(
        "O12",
        "the loss falls in three phases",
        (
            "The loss of the Omni stage falls fast (the modalities are bridged), stays on a plateau"
            " (their representations reorganise), and falls again (joint optimisation)."
        ),
        (ARTICLE,),
        ours=(
            "`omni-lab analyse phases` judges any log by a calibrated rule. A bend counts only "
            "where neither the data nor the learning rate was switched."
        ),
        code=("omni_lab/analysis/phases/rule.py", "omni_lab/analysis/forecast.py"),
        evidence=(
            Evidence(
                "forecast",
                "tells the loss curve of another mixture from the curves of single facts",
            ),
            Evidence(
                "O12",
                (
                    "the total loss at a constant rate, judged by a rule that was calibrated on simulated"
                    " curves"
                ),
                part="three phases from new weights",
            ),
            Evidence(
                "O12",
                "the same loss where training begins with the unimodal stages",
                part="three phases from the unimodal stages",
            ),
            Evidence(
                "O12",
                "the loss of every fact by itself",
                part="the facts' second drops are staggered (added after the first seed)",
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
