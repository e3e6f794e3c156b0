"""Claims of article O on its stages, how they follow one another, and how the loss falls."""

from __future__ import annotations

from omni_lab.reproduce.claims.claim import ARTICLE, MAINTAINER, Claim, Evidence

OMNI_STAGES: tuple[Claim, ...] = (
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
                part="facts fall once, without phases of their own",
            ),
            Evidence(
                "O12",
                "when facts begin to be learned",
                part="the facts' second drops are staggered (added after the first seed)",
            ),
        ),
    ),
)
