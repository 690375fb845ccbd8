"""Uploading as a job: one pass with its report, or on and on while a session records.

The watching one is a process of its own with the lowest priority; whatever becomes of it, the
recorder does not notice.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.remote_files import RemoteFiles, check_url
from so101.data.stores.upload import Uploader, UploadReport
from so101.errors import RemoteError

PERIOD_S = 2.0
"""Time between two looks at the local store [s]."""

_NICENESS = 19

LONGEST_PAUSE_S = 60.0
"""Bound of the pause after the remote could not be reached [s]."""


def upload(
    root: Path,
    url: str,
    *,
    say: Callable[[str], None],
    is_checked: bool = False,
    deletes: bool = False,
) -> UploadReport:
    """Send what is missing, once, and say what was done and what was not.

    Args:
        root: Directory of bags.
        url: The remote store.
        say: Takes each line for the person.
        is_checked: Read everything back, also what was sent before.
        deletes: Delete local bags whose copy was read back.

    Raises:
        ConfigError: The URL is not that of a store.
        RemoteError: The remote cannot be reached.
        StoreError: The local store cannot be read, or is in use when it is to be deleted from.
    """
    url = check_url(url)
    uploader = Uploader(EpisodeStore(root), RemoteFiles(url))
    report = uploader.run(is_checked=is_checked, deletes=deletes, on_sent=_teller(say))
    for line in summary(report, url):
        say(line)
    return report


def watch(
    root: Path,
    url: str,
    *,
    say: Callable[[str], None],
    should_stop: Callable[[], bool] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Send episodes as they are finished, until Ctrl-C or SIGTERM; return the exit code.

    A remote that cannot be reached is tried again after growing pauses.

    Args:
        root: Directory of bags; it may be made later.
        url: The remote store.
        say: Takes each line for the person.
        should_stop: Asked between two passes; None for the signals.
        sleep: Waits for some time [s].

    Raises:
        ConfigError: The URL is not that of a store.
        StoreError: The remote store is of a later version.
    """
    url = check_url(url)
    uploader = Uploader(EpisodeStore(root), RemoteFiles(url))
    if should_stop is None:
        os.nice(_NICENESS)
        signal.signal(signal.SIGTERM, _interrupt)
    say(f"watching {root}, sending to {url}")
    with suppress(KeyboardInterrupt):
        _watch(uploader, root, say, should_stop or (lambda: False), sleep)
    pending = uploader.pending() if root.is_dir() else []
    say(ending(pending, root, url))
    return 0


def _watch(
    uploader: Uploader,
    root: Path,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
    sleep: Callable[[float], None],
) -> None:
    failures = 0
    while not should_stop():
        problem = ""
        if root.is_dir() and uploader.pending():
            try:
                report = uploader.run(on_sent=_teller(say))
                problem = next(iter(report.failed.values()), "")
                for name, reason in report.refused.items():
                    say(f"{name}: cannot be sent: {reason}")
            except RemoteError as error:
                problem = str(error)
        failures = failures + 1 if problem else 0
        pause_s = min(PERIOD_S * 2**failures, LONGEST_PAUSE_S)
        if problem:
            say(f"{problem}; trying again in {pause_s:g} s")
        sleep(pause_s)


def ending(pending: Sequence[str], root: Path, url: str) -> str:
    """Say what is left to do."""
    if not pending:
        return f"every finished episode is at {url}"
    return f"{len(pending)} episodes are not at {url} yet; `{command_text(root, url)}` sends them"


def command_text(root: Path, url: str) -> str:
    """Return what a person types to send the rest."""
    return f"so101 episodes upload --store {root} --to {url}"


def watcher_argv(root: Path, url: str) -> tuple[str, ...]:
    """Return the command line of the process that sends episodes while others record."""
    verb = ("episodes", "upload", "--store", str(root), "--to", url, "--watch")
    return (sys.executable, "-m", "so101_bringup.cli", *verb)


def send_rest(root: Path, url: str, say: Callable[[str], None]) -> None:
    """Send what is left after a session; Ctrl-C leaves it for later.

    A child process does it: a session's own process has ROS in it and should end whatever happens.
    """
    if not root.is_dir():
        return
    say(f"sending the rest to {url}; Ctrl-C leaves it")
    child = subprocess.Popen([arg for arg in watcher_argv(root, url) if arg != "--watch"])
    try:
        code = child.wait()
    except KeyboardInterrupt:
        child.wait()  # Ctrl-C has reached it as well
        code = -1
    if code:
        say(f"not everything was sent; `{command_text(root, url)}` goes on")


def summary(report: UploadReport, url: str) -> list[str]:
    """Say what a pass did."""
    lines = [f"{name}: could not be sent: {why}" for name, why in report.failed.items()]
    lines += [f"{name}: cannot be sent: {why}" for name, why in report.refused.items()]
    parts = [
        f"{len(report.sent)} episodes sent ({report.bytes_sent / 1e6:.1f} MB)",
        f"{len(report.present)} were there",
        f"labels of {len(report.labels)}",
    ]
    if report.deleted:
        parts.append(f"{len(report.deleted)} deleted here")
    if report.failed:
        parts.append(f"{len(report.failed)} could not be sent, the same command goes on")
    return [*lines, f"{url}: {', '.join(parts)}"]


def _teller(say: Callable[[str], None]) -> Callable[[str, int], None]:
    return lambda name, size: say(f"{name}: sent and read back, {size / 1e6:.1f} MB")


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
