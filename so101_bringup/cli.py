"""The ``so101`` command: one verb per job. It starts and displays; the nodes do the work.

Nothing outside the standard library is imported before `main` runs, so that it can first leave an
environment in which another ROS or Python would get in the way, and answers Ctrl-C from then on.
"""

import argparse
import difflib
import os
import re
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from so101.errors import So101Error
from so101_bringup.environment import clean_environment, is_clean

USER_ERROR = 2
INTERRUPTED = 130

DESCRIPTION = """\
A ROS 2 stack for the SO-101 arm that learns on your desk.
Ctrl-C at any time; the same command goes on where it was."""
CLEANED = "_SO101_ENVIRONMENT_CLEANED"
_VERB = "VERB [arguments]"  # two longer than the longest verb, or argparse breaks its help line
_CHOICE = re.compile(r"argument (\w+)[^:]*: invalid choice: '(.*)' \(choose from (.*)\)")


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End with one line and the exit code of a user's error."""
        match = _CHOICE.fullmatch(message)
        if match:
            name, word, choices = match.groups()
            known = [choice.strip(" '") for choice in choices.split(",")]
            nearest = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
            message = f"unknown {name.lower()} {word!r}; {hint}"
        self.exit(USER_ERROR, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every verb."""
    from so101_bringup import (
        cli_bench,
        cli_checkpoints,
        cli_exchange,
        cli_graph,
        cli_policy,
        cli_report,
        cli_serve,
        cli_servos,
        cli_store,
    )

    parser = Parser(
        prog="so101",
        usage=f"so101 {_VERB}",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    # it works, and needs no three lines of the help that it prints
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    verbs = parser.add_subparsers(dest="verb", metavar=_VERB, required=True, prog="so101")
    learning = (cli_graph, cli_policy, cli_serve, cli_bench, cli_report)
    for module in (*learning, cli_store, cli_checkpoints, cli_exchange, cli_servos):
        module.add_verbs(verbs)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code.

    Args:
        argv: Arguments; None for the process's own.
    """
    if argv is None:
        _leave_other_ros()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    interruption = _Interruption()
    try:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        arguments = build_parser().parse_args(argv)
        return int(arguments.run(arguments))
    except So101Error as error:
        print(f"so101: error: {' '.join(str(error).split())}", file=sys.stderr)
        return USER_ERROR
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing left to flush to
        return 0
    except BaseException:
        # An import that is torn apart by Ctrl-C may raise anything.
        if not interruption.has_come:
            raise
        print("so101: interrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        interruption.forget()


def _leave_other_ros() -> None:
    """Start again without what a sourced ROS put into the environment, at most once."""
    was_cleaned = os.environ.pop(CLEANED, "")
    if not was_cleaned and not is_clean(os.environ):
        environment = {**clean_environment(os.environ), CLEANED: "1"}
        os.execve(sys.executable, sys.orig_argv, environment)


class _Interruption:
    """Remembers whether Ctrl-C was pressed, whatever became of the KeyboardInterrupt."""

    def __init__(self) -> None:
        self.has_come = False
        self._previous = signal.signal(signal.SIGINT, self._on_signal)

    def forget(self) -> None:
        """Leave signals as they were."""
        signal.signal(signal.SIGINT, self._previous)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.has_come = True
        raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
