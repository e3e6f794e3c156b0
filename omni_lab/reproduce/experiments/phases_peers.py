"""Peers of the phase finder on the same losses: `trainspotter` and `runmedic`, where they answer the same question.

Neither looks for phases. `trainspotter` says that a loss "plateaued" where a window of a tenth of the run is flat and
the loss has not yet come down by four fifths; `runmedic` that it has stopped improving at a constant rate, or does not
learn. Both are asked through their own objects, with the loss and the learning rate under their own names.
"""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec

from omni_lab.analysis.logs.curve import Log

PEERS = ("trainspotter", "runmedic")
VERSIONS = {name: metadata.version(name) if find_spec(name) else None for name in PEERS}


def peers_say(log: Log) -> dict[str, bool | None]:
    """Whether each peer finds a plateau in a log's training loss; None where it is not installed."""
    asked = {"trainspotter": _trainspotter, "runmedic": _runmedic}
    return {name: asked[name](log) if VERSIONS[name] else None for name in PEERS}


def _trainspotter(log: Log) -> bool:
    from trainspotter import Run
    from trainspotter.detectors import PlateauDetector

    run = Run()
    for name, curve in (("train/loss", log.curves[log.main]), ("lr", log.rates)):
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
            run.add_point(name, int(step), value)
    run.finalize()
    return bool(PlateauDetector().run(run))


def _runmedic(log: Log) -> bool:
    from runmedic.checks import run_checks
    from runmedic.model import Run
    from runmedic.roles import detect

    run = Run(log.name, "csv", log.name)
    for name, curve in (("train_loss", log.curves[log.main]), ("lr", log.rates)):
        series = run.get(name)
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
            series.add(step, value)
    found = {finding.check for finding in run_checks(run.finalize(), detect(run))}
    return bool(found & {"constant_lr_plateau", "no_learning"})
