"""Claims C1 to C15: a summary of OmChat (Zhao et al. 2024)."""

from __future__ import annotations

from omni_lab.reproduce.claims.claim import MAINTAINER, PAPER, Claim, Evidence

CONTROL = Evidence(
    "context",
    "the same questions without the needle: answers stay near chance",
    "control near chance",
)

OMCHAT: tuple[Claim, ...] = (
    Claim(
        "C1",
        "everything seen is images",
        (
            "Every visual input (one image, many, images between text, video) is taken apart into "
            "images and treated alike."
        ),
        (PAPER,),
        ours="Our documents do the same: one entry takes them all.",
        code=(
            "omni_lab/sequences/documents.py",
            "omni_lab/sequences/formats.py",
        ),
    ),
    Claim(
        "C2",
        "AnyRes keeps detail at any resolution",
        (
            "Dynamic visual encoding, as in AnyRes, keeps detail at any resolution. The released "
            "scripts use tiles of 448 pixels in eight grids, from 448 × 896 to 1344 × 1344."
        ),
        (PAPER, MAINTAINER),
        ours="Both the released grids (`grids=omchat`) and free ones can be cut. No model is compared.",
        code=("omni_lab/sequences/tiling.py",),
    ),
    Claim(
        "C3",
        "the context grows in stages",
        "After the projector, the context is trained in stages: 4K, 32K, 128K, 512K tokens.",
        (PAPER,),
        ours="Ours grows from 32 to 2,048 tokens on the small model.",
        code=(
            "omni_lab/config/training.py",
            "omni_lab/world/haystack/lessons.py",
        ),
        evidence=(
            Evidence(
                "context",
                "rows that grow, against the longest rows from the start, for as many tokens",
                "C3 stages beat direct",
            ),
        ),
    ),
    Claim(
        "C4",
        "the RoPE base rises with the context",
        "The base θ of the rotary positions is raised on the way, to 50 million in the end.",
        (PAPER, MAINTAINER),
        note="The released configuration has `rope_theta=5e7`.",
        ours="A setting of every stage.",
        code=(
            "omni_lab/model/rope.py",
            "omni_lab/config/training.py",
        ),
        evidence=(
            Evidence(
                "context",
                "a θ that rises with the rows, against one that stays where the short rows left it",
                "C4 raised θ beats fixed",
            ),
        ),
    ),
    Claim(
        "C5",
        "short samples fill long rows",
        "Where long data are missing, short samples are concatenated to the length that is wanted.",
        (PAPER,),
        ours="Packing does so without cutting a sample or letting attention cross from one to the next.",
        code=("omni_lab/sequences/packing.py",),
        evidence=(
            Evidence(
                "context",
                (
                    "rows packed of short samples alone, against rows with questions that reach far "
                    "back. If the first fall short, concatenating is not enough by itself"
                ),
                "C5 packed short samples alone fall short",
            ),
        ),
    ),
    Claim(
        "C6",
        "ring attention beyond 128K",
        "Beyond 128K tokens, attention is computed by RingAttention.",
        (PAPER,),
        ours=(
            "Our ring gives the result of ordinary attention on one to four processes, in tests and"
            " in the course. At 128K, or on a GPU, nothing has been measured."
        ),
        code=(
            "omni_lab/parallel/ring.py",
            "omni_lab/parallel/layout.py",
        ),
    ),
    Claim(
        "C7",
        "text tokens are of three types, and one is left out",
        (
            "Selective Visual Language Modelling (SVLM): a text token can be tied to the image (1: "
            "things, numbers, colours), hardly depend on it (2: connectives, what follows from the "
            "text before), or contradict it (3). A reference model, trained on good multimodal "
            "instructions, scores every token; tokens are ranked by the difference between the loss"
            " of the model in training and that of the reference, and only the top share of a batch"
            " counts. Type 1 comes first, type 3 is left out."
        ),
        (PAPER,),
        note="Neither the share nor the sign of the difference is given.",
        ours=(
            "A stage can keep the top fraction of its text tokens by excess loss, or by ten other "
            "scores, one of which asks first whether the reference knows better than the trainee."
        ),
        code=("omni_lab/training/selection/scores.py", "omni_lab/training/selection/top.py"),
        evidence=(
            Evidence(
                "svlm",
                "captions whose wrong words are known, under every rule of selection",
                part="the switch is within .01 of the best rule",
            ),
            *(
                Evidence(
                    "svlm_map",
                    "weak and strong references, new and trained trainees, few and many wrong words",
                    part=part,
                )
                for part in (
                    "the highest excess beats the lowest where the trainee is weakest",
                    "the lowest excess beats the highest where the trainee is strongest",
                    "the switch is within .01 of the best rule in every cell",
                )
            ),
        ),
    ),
    Claim(
        "C8",
        "SVLM improves the model",
        "Training with SVLM gives a better model.",
        (PAPER,),
        note="We found no numbers with and without it.",
        ours="Compared on captions of which a known part is wrong, beside clean captions alone.",
        evidence=(
            Evidence(
                "svlm",
                "the highest excess loss and the standard loss, in a small set with many wrong words",
                part="excess loss beats the standard loss by .15 at 40 % wrong words, small set",
            ),
            Evidence(
                "svlm",
                "the same where fewer words are wrong",
                part="and by .05 at 20 %",
            ),
            Evidence(
                "svlm",
                "a large set with wrong words and a small clean one",
                part="excess loss on a large noisy set beats clean captions alone",
            ),
        ),
    ),
    Claim(
        "C9",
        "the mixture of instructions is chosen by decay branches",
        (
            "Data sets get percentages by importance; together they make one large set, the small "
            "ones repeated, which is split into parts of equal mixture. Training goes through the "
            "parts at a constant rate (2e-5). From the checkpoint after each part a branch trains "
            "on for 10 % more steps, with linear decay, and the best branch wins. Scores rise from "
            "10 to 20 million tokens and fall from 40 to 80 million, mostly on benchmarks without "
            "images."
        ),
        (PAPER,),
        ours=(
            "Percentages become parts of equal mixture, exact to one sample; a trunk, its decay "
            "branches and merges of its checkpoints are trained and scored after every part. On six"
            " tasks of the gallery the curve is measured, and the response surface of mixtures "
            "under it."
        ),
        code=(
            "omni_lab/data/instruct/mixture.py",
            "omni_lab/training/branches/curve.py",
            "omni_lab/analysis/mixtures.py",
        ),
        evidence=(
            Evidence(
                "mixture",
                "branches after the first part and after the second, over six tasks",
                "C9 scores rise from the first part to the second",
            ),
            Evidence(
                "mixture",
                "branches after the second part and after the eighth",
                "C9 and fall from the second to the eighth",
            ),
            Evidence(
                "mixture",
                "text alone, by itself and beside the other tasks, over the same parts",
                "C9 it is text that falls",
            ),
            Evidence(
                "mixture",
                "the mean of the trunk's last checkpoints in place of a branch (WSM)",
                "merging is within .01 of the branches",
            ),
            Evidence(
                "mixture",
                "one mixture by importance, and the optimum of a surface fitted to random ones",
                "C9 percentages by importance are within .02 of the optimum",
            ),
            Evidence(
                "mixture",
                "the same optimum and equal shares",
                "the optimum of the fit beats equal shares",
            ),
            Evidence(
                "mixture",
                "the best of eight mixtures by one score each, against the second best",
                "one winner of eight runs in ten, at most, is none",
            ),
        ),
    ),
    Claim(
        "C10",
        "instructions compare images and ask about video",
        "The instruction data include comparisons of several images, and questions about video.",
        (PAPER,),
        ours="Two of the gallery's six instruction tasks compare pictures and ask about video.",
        code=("omni_lab/world/instruct/examples.py", "omni_lab/world/albums/album.py"),
        evidence=(
            Evidence(
                "mixture",
                "the mixture by importance, with these two tasks and without them",
                "C10 comparisons and videos are learned from instructions of their kind",
            ),
        ),
    ),
    Claim(
        "C11",
        "a needle in a text is found",
        (
            "A single sentence in a long text is found almost perfectly from 4K to 256K tokens, and"
            " a little less well at 512K, since fine-tuning used shorter contexts."
        ),
        (PAPER,),
        ours=(
            "Asked of the small model at up to 2,048 tokens, and of any causal model by `omni-lab "
            "evaluate needles`."
        ),
        code=(
            "omni_lab/evaluation/needles/measure.py",
            "omni_lab/evaluation/gallery/needles.py",
        ),
        evidence=(
            Evidence(
                "context",
                (
                    "one visitor's sentence among hundreds, at each of five depths of the longest "
                    "trained rows"
                ),
                "C11 text at every depth",
            ),
            CONTROL,
        ),
    ),
    Claim(
        "C12",
        "a needle in a film is found",
        (
            "One frame in a long video is found at every length and depth, far above chance and far"
            " above a model without the long training (*Temporal Visual Needle in a Haystack*)."
        ),
        (PAPER,),
        ours="The film is seen as pictures: what was in a single frame, and when.",
        code=(
            "omni_lab/evaluation/gallery/needles.py",
            "omni_lab/world/haystack/rows.py",
        ),
        evidence=(
            Evidence(
                "context",
                (
                    "the colour of a thing in one frame, and the time when it was there, at each of"
                    " five depths"
                ),
                "C12 film at every depth",
            ),
            CONTROL,
        ),
    ),
    Claim(
        "C13",
        "five ways to write many images, and F4 is the best",
        (
            "F0 puts image tokens one after the other. F3 and F4 mark them (`<im_start>` … "
            "`<im_end>`) and number them (`image {i}`); F4 says `frame {i}` in video, adds video "
            "instructions, and is the best. Even F0 beats models trained on single images."
        ),
        (PAPER,),
        note="F1 and F2 are not spelled out; ours are labelled as ours.",
        ours="All five can be written.",
        code=("omni_lab/sequences/formats.py",),
        evidence=(
            Evidence(
                "formats",
                "F4 against each of the other four",
                "C13 F4 is the best",
            ),
            Evidence(
                "formats",
                "F3 against F0",
                "C13 F3 beats F0",
            ),
            Evidence(
                "formats",
                "F0 against the same model trained on single pictures",
                "C13 F0 beats single images",
            ),
        ),
    ),
    Claim(
        "C14",
        "many images teach over ten points more than one",
        (
            "Training on several images beats training on single ones by more than ten points, on "
            "benchmarks of many images and of video."
        ),
        (PAPER,),
        ours="Albums of one to five pictures, or a short video, with questions about all of them.",
        code=(
            "omni_lab/world/albums/album.py",
            "omni_lab/evaluation/gallery/albums.py",
        ),
        evidence=(
            Evidence(
                "formats",
                "over all kinds of question",
                "C14 ten points more",
            ),
            Evidence(
                "formats",
                "only over questions whose words both models have met",
                "C14 in words both know",
            ),
        ),
    ),
    Claim(
        "C15",
        "answers side by side",
        "The answers of several models to the same questions are shown side by side.",
        (PAPER,),
    ),
)
