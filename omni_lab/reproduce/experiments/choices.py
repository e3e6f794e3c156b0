"""Choices of the omni stage: what trains, for how long, how fast, in which order, how balanced.

Commands: `omni-lab reproduce O5 --seeds 5 --jobs 2`, likewise O6, O8 to O11, O16 to O18. Hardware:
2 CPU cores, no GPU. A run takes about 2 minutes on one core (O10 up to 17, O9 up to 9), the
beginning 5 for each seed.
Criteria were written down before any arm was run.
"""

from __future__ import annotations

from omni_lab.reproduce.arms import PLAIN, Arm
from omni_lab.reproduce.experiments.comparison import Choice, Gain, omni

_ALL = Arm(PLAIN)
CHOICES: dict[str, Choice] = {
    "O5": Choice(
        "Training every part in the omni stage beats freezing the encoders",
        (
            _ALL,
            Arm("frozen encoders", omni("train=connector,decoder")),
            Arm("frozen encoders and connectors", omni("train=decoder")),
            Arm("frozen decoder", omni("train=image,audio,connector")),
        ),
        (
            Gain(PLAIN, "frozen encoders", "all parameters beat frozen encoders"),
            Gain(PLAIN, "frozen decoder", "all parameters beat a frozen decoder"),
        ),
    ),
    "O6": Choice(
        "A mask that opens between modalities during the omni stage helps",
        (
            _ALL,
            Arm("opening text>image+audio", omni("interaction=text>image=0:1@0.5,text>audio=0:1@0.5")),
            Arm("opening audio>image", omni("interaction=audio>image=0:1@0.5")),
            Arm(
                "half all along",
                omni("interaction=text>image=0.5,text>audio=0.5,audio>image=0.5"),
            ),
            Arm("closing audio>image", omni("interaction=audio>image=1:0@0.5")),
        ),
        (
            Gain("opening text>image+audio", PLAIN, "an opening mask from text helps"),
            Gain("opening audio>image", PLAIN, "an opening mask between image and audio helps"),
        ),
    ),
    "O8": Choice(
        "Unimodal stages that train the encoder alone prepare the omni stage as well as others",
        (
            _ALL,
            *(
                Arm(
                    name,
                    tuple(
                        f"training.stages.{stage}.train={parts.format(stage=stage, sense=sense)}"
                        for stage, sense in (("vision", "image"), ("audio", "audio"))
                    ),
                )
                for name, parts in (
                    ("encoder only", "{sense}"),
                    ("connector only", "connector"),
                    ("encoder and connector", "{sense},connector"),
                )
            ),
        ),
        (
            Gain("encoder only", PLAIN, "the encoder alone is enough", bound=-0.02),
            Gain("connector only", "encoder only", "the connector alone is better (MiniCPM-o 4.5)"),
        ),
    ),
    "O9": Choice(
        "Starting from the unimodal stages beats starting from new weights",
        (
            _ALL,
            Arm("from scratch", scratch=True),
            Arm("from scratch, all steps in omni", omni("steps=1020"), scratch=True),
        ),
        (
            Gain(PLAIN, "from scratch", "at as many omni steps"),
            Gain(PLAIN, "from scratch, all steps in omni", "at as many steps in all"),
        ),
    ),
    "O10": Choice(
        "Omni training pays up to 1.2 times the unimodal stages, and less beyond",
        tuple(Arm(f"{m:g} x", omni(f"steps_multiple={m}")) for m in (0.3, 0.6, 1.2, 2.4)),
        (
            Gain("1.2 x", "0.6 x", "1.2 beats 0.6 by .01", bound=0.01),
            Gain("2.4 x", "1.2 x", "2.4 still beats 1.2 by .01", bound=0.01),
        ),
    ),
    "O11": Choice(
        "Alignment first and generation later beats both together",
        (
            _ALL,  # alignment fades while generation goes on
            Arm("no alignment", omni("align_weight=0")),
            Arm(
                "alignment first, cap .2",
                omni(
                    "phases=+align,+write", "phases.align.stream=0", "phases.align.caption=0",
                    "phases.align.cap=0.2", "phases.write.ramp=0.1",
                ),
            ),
            Arm(
                "alignment first, by competence",
                omni(
                    "phases=+align,+write", "phases.align.stream=0", "phases.align.caption=0",
                    "phases.align.until=align", "phases.align.below=2.7", "phases.align.cap=0.4",
                    "phases.write.ramp=0.1",
                ),
            ),
            Arm(
                "generation first",
                omni(
                    "align_fraction=1", "phases=+write,+align", "phases.write.align=0",
                    "phases.write.cap=0.5",
                ),
            ),
        ),
        (
            Gain(
                "alignment first, cap .2|alignment first, by competence", PLAIN,
                "alignment first beats both together",
            ),
            Gain(PLAIN, "no alignment", "alignment beats none"),
            Gain(
                "alignment first, cap .2|alignment first, by competence", "generation first",
                "alignment first beats generation first",
            ),
        ),
    ),
    "O16": Choice(
        "An omni rate of .6 to .8 of the unimodal one is best",
        tuple(
            Arm(PLAIN if r == 1 else f"{r:g} x", omni(f"lr_scale={r}"))
            for r in (0.3, 0.6, 0.7, 0.8, 1.0, 1.5)
        ),
        (Gain("0.6 x|0.7 x|0.8 x", f"0.3 x|{PLAIN}|1.5 x", ".6 to .8 beats all others"),),
    ),
    "O17": Choice(
        "Clipping by modality with thresholds renewed now and then beats other clipping",
        (
            _ALL,  # a fixed threshold for every part
            Arm("none", omni("clip.rule=none")),
            Arm("running, every 20", omni("clip.rule=running", "clip.every=20")),
            Arm("running, every step", omni("clip.rule=running", "clip.every=1")),
            Arm("by tensor", omni("clip.rule=tensor", "clip.factor=1.05")),
        ),
        (
            Gain("running, every 20", "none", "renewed thresholds beat no clipping"),
            Gain("running, every 20", PLAIN, "renewed thresholds beat a fixed one"),
        ),
    ),
    "O18": Choice(
        "Images : texts : sounds at 8 : 1 : 1 are the best mixture beside omni clips",
        (
            _ALL,  # omni clips alone
            *(
                Arm(
                    f"{ratio}, in {unit}",
                    omni(f"ratio_unit={unit}", f"sources=gallery.omni=10,{sources}"),
                )
                for ratio, sources in (
                    ("8 : 1 : 1", "gallery.image=8,gallery.text=1,gallery.audio=1"),
                    ("1 : 1 : 1", "gallery.image=3,gallery.text=3,gallery.audio=3"),
                    ("1 : 1 : 8", "gallery.image=1,gallery.text=1,gallery.audio=8"),
                )
                for unit in ("clips", "tokens")
            ),
        ),
        (
            Gain("8 : 1 : 1, in clips", "1 : 1 : 1, in clips", "8 : 1 : 1 beats 1 : 1 : 1, in clips"),
            Gain("8 : 1 : 1, in tokens", "1 : 1 : 1, in tokens", "and in tokens"),
            Gain("8 : 1 : 1, in clips|8 : 1 : 1, in tokens", PLAIN, "and omni clips alone"),
        ),
    ),
}  # fmt: skip
