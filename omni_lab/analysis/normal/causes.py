"""Likely causes of an odd loss that can be told from the log alone, each with the evidence that it rests on.

A cause is named only where its signature is there and the references do not have it; most odd curves have none, and
then nothing is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from omni_lab.analysis.logs.curve import Log
from omni_lab.analysis.logs.names import words
from omni_lab.analysis.normal.band import Compared
from omni_lab.analysis.normal.shapes import Explanation, explained
from omni_lab.analysis.normal.symptoms import epoch_drops, parting, rise, spikes

_MODALITIES = {"image", "vision", "video", "audio", "speech", "text", "sound"}
_ENDS = {"end", "eos", "stop", "eot", "halt"}
_SPIKE = 6.0  # robust standard deviations above the running median
_LEAST_SPIKE, _SPIKES = (
    0.15,
    3,
)  # in logarithms; how many at least, and times those of any reference
_RISE = 0.2  # in logarithms: a loss that ends 22 % above its lowest
_FELL, _FLAT = (
    0.3,
    0.25,
)  # a curve that learns falls by 26 % or more; a flat one by a quarter of that
_RATIO = 1.1  # without a band: a tenth off
_SOON, _HALF = 0.2, 0.5  # leak: within a fifth of the run, below half of the references


@dataclass(frozen=True)
class Cause:
    """A likely cause: its kind, where it shows, one sentence, and the numbers it rests on."""

    kind: str  # "rate_high" | "rate_low" | "target_not_learned" | "flat" | "modality_flat" | "repetition" | …
    curve: str
    sentence: str
    evidence: Mapping[str, float]


def causes(log: Log, references: Sequence[Log], curves: Mapping[str, Compared]) -> list[Cause]:
    """Causes whose signature a log has and its references lack.

    Parameters
    ----------
    curves : the curves that log and references share, the total first
    """
    flat = list(_flat(log, curves))
    found = [*_rate_high(log, references), *flat, *_repetition(log, references)]
    main = curves.get(log.main)
    if main is not None and _off(main) and not any(c.kind == "rate_high" for c in found):
        found += _shape(log, main, flat)
    return found


def _off(curve: Compared) -> bool:
    """Whether a curve lies off: outside the band, or a tenth off where there is none."""
    if curve.half is not None:
        return bool(curve.outside.mean() > 0.1)
    return bool(curve.logs and abs(np.log(curve.final)) > np.log(_RATIO))


def _shape(log: Log, main: Compared, flat: list[Cause]) -> Iterator[Cause]:
    """Causes behind a factor, an offset or a stretch of the total loss."""
    noise = 0.0 if main.spread is None else 2 * float(np.sqrt(np.mean(main.spread**2)))
    best = explained(main, noise)
    if best is not None and best.kind == "factor" and abs(np.log(best.value)) > 0.1:
        yield _normalisation(log, best)
    elif best is not None and best.kind == "offset" and best.value > 0 and not flat:
        yield _offset(log, best)
    elif best is not None and best.kind == "stretch" and best.value < 0.8:
        yield _slow(log, best)
    else:
        yield from _leak(log, main)


def _normalisation(log: Log, best: Explanation) -> Cause:
    near = {1 / np.log(2): "bits in place of nats, or the other way round"}
    near |= {
        float(k): f"a sum over {k} micro-batches or processes in place of a mean"
        for k in range(2, 65)
    }
    up = max(best.value, 1 / best.value)
    match = min(near, key=lambda k: abs(np.log(k / up)))
    guess = (
        f" {up:.2f} is near {match:.3g}: {near[match]}." if abs(np.log(match / up)) < 0.02 else ""
    )
    what = f"The loss is {best.value:.2f} times the references' from the first step to the last."
    right = "A constant factor is a wrong normalisation, not worse learning."
    evidence = {"factor": best.value, "left_unexplained": best.left}
    return Cause("normalisation", log.main, f"{what} {right}{guess}", evidence)


def _offset(log: Log, best: Explanation) -> Cause:
    what = f"The loss runs {best.value:.3f} above the references', by the same amount throughout."
    right = (
        "Something that they learn early is never learned here: often the end or stop token (a wrong id, or masked "
        "out), or padding that is trained on."
    )
    evidence = {"offset": best.value, "left_unexplained": best.left}
    return Cause("target_not_learned", log.main, f"{what} {right}", evidence)


def _slow(log: Log, best: Explanation) -> Cause:
    what = (
        f"The curve is the references' {1 / best.value:.1f} times slower, and otherwise the same."
    )
    right = "The learning rate (or the batch) is probably too low."
    evidence = {"times_as_fast": best.value, "left_unexplained": best.left}
    return Cause("rate_low", log.main, f"{what} {right}", evidence)


def _leak(log: Log, main: Compared) -> Iterator[Cause]:
    """Too low too soon: below half of the references within a fifth of the run, and until its end."""
    if not main.logs:
        return
    factor = np.exp(main.run - main.mean)
    soon = main.starts <= main.starts[0] + _SOON * (main.ends[-1] - main.starts[0])
    low = np.flatnonzero(soon & (factor < _HALF))
    if len(low) and np.median(factor[low[0] :]) < _HALF:
        at = float(main.starts[low[0]])
        what = f"From step {at:g} on the loss is below half of the references' ({factor[low[0] :].min():.2f} of it)."
        right = (
            "Too low too soon: labels may leak into the inputs (a missing shift or causal mask, "
            "answers in the prompt)."
        )
        evidence = {"step": at, "factor": float(np.median(factor[low[0] :]))}
        yield Cause("leak", log.main, f"{what} {right}", evidence)


def _flat(log: Log, curves: Mapping[str, Compared]) -> Iterator[Cause]:
    """Parts of the loss that stay at their start while the references' fall, and others fall here."""
    parts = {name: curve for name, curve in curves.items() if name != log.main and curve.logs}
    stuck = {name: curve for name, curve in parts.items() if _is_flat(curve)}
    moving = [n for n, c in parts.items() if n not in stuck and _fall(c.run) >= _FELL / 2]
    for name, curve in stuck.items():
        if not moving:
            continue
        named = set(words(name))
        kind = "modality_flat" if named & _MODALITIES else "flat"
        kind = "target_not_learned" if named & _ENDS else kind
        here, there = (float(np.exp(x[-1])) for x in (curve.run, curve.mean))
        what = f"{name} stays at {here:.2f}, where the references come down to {there:.2f}; other parts fall."
        right = {
            "modality_flat": "This modality does not reach the model: look at its encoder, projector and mask.",
            "target_not_learned": "The end or stop token is never learned: look at its id and at the loss mask.",
            "flat": "This part is never learned: look at its targets and at the loss mask.",
        }[kind]
        evidence = {"start": float(np.exp(curve.run[0])), "end": here, "references_end": there}
        yield Cause(kind, name, f"{what} {right}", evidence)


def _is_flat(curve: Compared) -> bool:
    """Whether the references fall and the run has a quarter of their fall, or less."""
    expected = _fall(curve.mean)
    off = curve.run[-1] - curve.mean[-1] > (0 if curve.half is None else curve.half[-1])
    return bool(expected >= _FELL and _fall(curve.run) <= _FLAT * expected and off)


def _fall(values: Float64[np.ndarray, " windows"]) -> float:
    """Fall from the first tenth of the windows to the last."""
    tenth = max(1, len(values) // 10)
    return float(values[:tenth].mean() - values[-tenth:].mean())


def _rate_high(log: Log, references: Sequence[Log]) -> Iterator[Cause]:
    """Spikes, a loss that rises to the end, or faults, with the rate near its peak."""
    curve = log.curves[log.main]
    usual = [spikes(r.curves[r.main]) for r in references]
    many = spikes(curve)
    risen = rise(log)
    expected = max((rise(r)[0] for r in references), default=0.0)
    faults = sum(event.kind == "fault" for event in log.events)
    known = sum(event.kind == "fault" for r in references for event in r.events)
    spiky = many >= _SPIKES and many >= _SPIKES * max(usual, default=0)
    rising = risen[0] >= _RISE and risen[0] > 2 * expected
    if not (spiky or rising or (faults and not known and many > max(usual, default=0))):
        return
    parts = [f"{many} spikes (references: at most {max(usual, default=0)})"] if spiky else []
    if rising:
        near = f" while the rate is at {risen[2]:.0%} of its peak" if risen[2] is not None else ""
        parts.append(f"a rise by a factor of {np.exp(risen[0]):.2f} from step {risen[1]:g}{near}")
    parts += [f"{faults} NaN or infinite stretches"] if faults else []
    right = "The learning rate is probably too high, or gradients are not clipped."
    evidence = {"spikes": float(many), "rise": float(np.exp(risen[0])), "faults": float(faults)}
    yield Cause("rate_high", log.main, f"The loss has {', '.join(parts)}. {right}", evidence)


def _repetition(log: Log, references: Sequence[Log]) -> Iterator[Cause]:
    """Data that are seen again: held-out loss rises while training loss falls, or it drops where a pass begins."""
    for name, held in log.held_out.items():
        risen = parting(log, held)
        if risen and not any(
            name in r.held_out and parting(r, r.held_out[name]) for r in references
        ):
            step, up, down = risen
            what = (
                f"From step {step:g} on {name} rises by {np.expm1(up):.0%} while {log.main} "
                f"falls by {-np.expm1(-down):.0%}."
            )
            right = "The training data are being learned by heart: they are repeated too often, or too few."
            yield Cause(
                "repetition", name, f"{what} {right}", {"step": step, "rise": up, "fall": down}
            )
            return
    drops = epoch_drops(log)
    if len(drops) >= 1 and not any(len(epoch_drops(r)) for r in references):
        what = f"The loss drops by {-np.expm1(-float(np.mean(drops))):.0%} where a pass over the data begins."
        right = "Such stairs mean that data seen before are remembered."
        evidence = {"stairs": float(len(drops)), "drop": float(np.mean(drops))}
        yield Cause("repetition", log.main, f"{what} {right}", evidence)
