"""Which checkpoint is served: loaded, tried and, where asked, followed as others are promoted."""

from collections.abc import Callable
from pathlib import Path

from so101.errors import CheckpointError
from so101.policies.checkpoints.canary import check_canary
from so101.policies.checkpoints.checkpoint import load_policy
from so101.policies.checkpoints.files import verify
from so101.policies.checkpoints.roles import POINTER_FILE, latest
from so101.policies.remote.server.inference import Served
from so101.robot import CAMERAS, JOINTS


def load_served(path: Path, device: str = "cpu") -> Served:
    """Verify a checkpoint, load it and let it plan for fixed observations.

    Args:
        path: Its directory.
        device: Where the network runs.

    Raises:
        CheckpointError: It is damaged, does not fit the robot, or plans what must not be driven.
    """
    checkpoint = verify(path)
    policy = load_policy(path, JOINTS, CAMERAS, device=device)
    check_canary(policy, where=str(path))
    return Served(policy=policy, sha256=checkpoint.sha256)


class Follower:
    """Hands over each checkpoint that is promoted in a directory; a bad one changes nothing."""

    def __init__(self, root: Path, load: Callable[[Path], Served]) -> None:
        """Follow a directory of checkpoints.

        Args:
            root: Where ``latest.json`` lies or will lie.
            load: Loads and tries a checkpoint.
        """
        self._root, self._load = root, load
        self._seen: tuple[int, int] | None = None

    def poll(self, current: str, swap: Callable[[Served], None]) -> str:
        """Look once.

        Args:
            current: sha256 of what is served.
            swap: Lets another one serve.

        Returns:
            A line about what changed; empty when nothing did.
        """
        try:
            found = (self._root / POINTER_FILE).stat()
        except FileNotFoundError:
            return ""
        seen = (found.st_mtime_ns, found.st_ino)
        if seen == self._seen:
            return ""
        self._seen = seen
        try:
            return self._take_over(current, swap)
        except CheckpointError as error:
            return f"refused, the old checkpoint serves on: {error}"

    def _take_over(self, current: str, swap: Callable[[Served], None]) -> str:
        promoted = latest(self._root, "promoted")
        if promoted is None or promoted.sha256 == current:
            return ""
        swap(self._load(promoted.path))
        return f"serving {promoted.path.parent.name}/{promoted.path.name} {promoted.sha256[:12]}"
