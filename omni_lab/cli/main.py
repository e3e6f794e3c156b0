"""Entry point of the command line, `omni-lab`: parser, errors as one line, exit codes.

Exit codes: 0, done; 1, error in the input (one line has the remedy); 2, error in the call; 130,
stopped with Ctrl-C. No exception leaves a command: what nobody foresaw is one line too, and
`--debug` shows its traceback. A command's imports are inside its handler, so that
`omni-lab --help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from omni_lab import __version__
from omni_lab.cli.analyse import add_analyse
from omni_lab.cli.commands import add_debug
from omni_lab.cli.config import add_config
from omni_lab.cli.demo import add_demo
from omni_lab.cli.doctor import add_doctor
from omni_lab.cli.evaluate import add_evaluate
from omni_lab.cli.mixture import add_mixture
from omni_lab.cli.plan import add_plan
from omni_lab.cli.reproduce import add_reproduce
from omni_lab.cli.sequences import add_sequences
from omni_lab.cli.svlm import add_svlm
from omni_lab.cli.train import add_train
from omni_lab.cli.triplets import add_triplets
from omni_lab.cli.world import add_world
from omni_lab.errors import InputError, OmniLabError, reason

AGAIN = "the same command again goes on from what is done"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of one command, after running it."""
    # a terminal whose encoding lacks ✓ or 猫 shows a replacement character
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # the commands have their own
    warnings.formatwarning = lambda message, *_, **__: f"omni-lab: {message}\n"

    arguments = build_parser().parse_args(argv)
    if not arguments.debug:
        # errors are one line each; reports above them would be read as more of them
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if arguments.handler is None:
        arguments.parser.print_help()
        return 2

    try:
        code = arguments.handler(arguments) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # the reading program, such as `head`, has closed the pipe: no error, but nowhere to flush
        _close_stdout()
        return 0
    except KeyboardInterrupt:
        print(f"\nomni-lab: stopped; {arguments.after_stop}", file=sys.stderr)
        return 130
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of a foreign library is no Exception
        return _told(error, arguments.debug)


def _told(error: BaseException, debug: bool) -> int:
    """Exit code of an error, after one line about it; before that its traceback, to debug."""
    if debug:
        traceback.print_exception(_unsuppressed(error))
    known = error if isinstance(error, OmniLabError) else _in_our_words(error)
    print(f"omni-lab: {known}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        _close_stdout()
    return known.exit_code


def _in_our_words(error: BaseException) -> OmniLabError:
    """Foreign exception as a typed one."""
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("omni_lab"):
        right = "`omni-lab doctor` has the command that installs it"
        return InputError(f"{error.name} is not installed; {right}")
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return InputError(f"{where}{error.strerror}; --debug shows where it was needed")
    return InputError(f"{reason(error)}; unforeseen, --debug shows where")


def _unsuppressed(error: BaseException) -> BaseException:
    """The error, with what it was raised from in its traceback, also if it was raised from None."""
    at: BaseException | None = error
    while at is not None:
        at.__suppress_context__ = at.__cause__ is not None
        at = at.__cause__ or at.__context__
    return error


def _close_stdout() -> None:
    """End of stdout where nothing more can be written, so that Python says nothing at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def build_parser() -> argparse.ArgumentParser:
    """Argument parser with all commands and their options."""
    parser = argparse.ArgumentParser(
        prog="omni-lab",
        description="Omni-modal pretraining: learn how a model is trained, and reproduce it.",
        epilog="example:\n  omni-lab demo --quick\n\n"
        "`omni-lab COMMAND --help` shows an example of every command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"omni-lab {__version__}")
    add_debug(parser)
    parser.set_defaults(handler=None, parser=parser, after_stop=AGAIN, debug=False)

    # in the order of the pipeline
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    add_demo(commands)
    add_world(commands)
    add_triplets(commands)
    add_sequences(commands)
    add_train(commands)
    add_svlm(commands)
    add_mixture(commands)
    add_analyse(commands)
    add_evaluate(commands)
    add_plan(commands)
    add_reproduce(commands)
    add_config(commands)
    add_doctor(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
