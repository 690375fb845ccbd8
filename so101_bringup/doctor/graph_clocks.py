"""Whether graphs of real robots that run on this computer still agree with its date."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from so101.clock import seconds
from so101.graph_clock import ANCHOR, MOST_OFF_NS
from so101_bringup.doctor.finding import Finding

PROC = Path("/proc")

STAMPING = ("hardware_node", "camera_node")
"""Who stamps by the graph's clock what others compare with the date."""


def running_anchors(proc: Path = PROC) -> Iterator[tuple[str, int]]:
    """Yield process and anchor [ns] of every arm and camera that a graph started.

    Those of another user are not seen, unless we are root; nor is what was started by hand, which
    says itself on ``diagnostics`` what is off.

    Args:
        proc: Where the system lists processes.
    """
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            variables = (process / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # ended meanwhile, or somebody else's
            continue
        name = next((name for name in STAMPING if name in words), "")
        texts = [text.partition("=")[2] for text in variables if text.startswith(f"{ANCHOR}=")]
        if name and texts and texts[0].lstrip("-").isdecimal():
            yield f"{name} (process {process.name})", int(texts[0])


def check_graph_clocks(running: Iterable[tuple[str, int]], anchor_ns: int) -> Finding:
    """See that what runs has the clock that a graph would have that begins now.

    Args:
        running: Processes and their anchors [ns].
        anchor_ns: System time minus steady time now [ns].
    """
    found = list(running)
    off = {who: anchor_ns - its_ns for who, its_ns in found if _is_off(anchor_ns - its_ns)}
    if off:
        text = ", ".join(f"{who} {seconds(by_ns):+.1f} s" for who, by_ns in off.items())
        advice = "restart the graph: other ROS tools find its stamps old or early"
        return Finding("graph clock", f"the date was set since it began: {text}", advice)
    return Finding("graph clock", f"{len(found)} arms and cameras run, by the date")


def _is_off(by_ns: int) -> bool:
    return abs(by_ns) > MOST_OFF_NS
