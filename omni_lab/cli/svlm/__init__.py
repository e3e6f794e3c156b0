"""Commands below `omni-lab svlm`: losses of words under a reference, to look at or to train with."""

from __future__ import annotations

from typing import Any

from omni_lab.cli.commands import command
from omni_lab.cli.svlm.score import add_score
from omni_lab.cli.svlm.table import add_table


def add_svlm(commands: Any) -> None:
    """Argument parsers of the commands below `omni-lab svlm`."""
    example = "omni-lab svlm score pairs/ --reference Qwen/Qwen2-VL-2B-Instruct"
    message = "selection of caption words by the loss of vision-language models (SVLM)"
    inner = command(commands, "svlm", message, example).add_subparsers(
        title="commands", metavar="COMMAND"
    )
    add_score(inner)
    add_table(inner)
