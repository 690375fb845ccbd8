"""Learning in the process that serves: a thread that trains, and hands over what comes of it.

The server never waits for it and never dies of it: whatever goes wrong here is a word in
`LearnerHealth`, and the last good policy is served on. What is handed over was on the disk before,
and is read from there: the averaged weights as every later reader of the checkpoint finds them.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from learner_node.lineage import family
from learner_node.serving_device import device_stream, finish_on, lower_priority
from learner_node.serving_gate import RequestGate
from learner_node.serving_work import Curriculum, Listener
from learner_node.trainer import Progress
from so101.errors import CheckpointError, So101Error
from so101.policies.checkpoints.canary import check_canary
from so101.policies.checkpoints.checkpoint import load_policy
from so101.policies.checkpoints.files import Checkpoint, verify
from so101.policies.checkpoints.roles import assign
from so101.policies.policy import Policy
from so101.robot import CAMERAS, JOINTS

POLL_S = 5.0
LONGEST_PAUSE_S = 600.0

Result = TypeVar("Result")

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Version:
    """A policy as it lies on the disk.

    Attributes:
        path: Its checkpoint.
        sha256: Of the weights.
        policy: The policy, loaded from the checkpoint.
        step: Training steps done.
    """

    path: Path
    sha256: str
    policy: Policy
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class LearnerHealth:
    """How the learner is.

    Attributes:
        phase: ``idle``, ``training``, ``degraded`` (the last attempt failed) or ``stopped``.
        reason: What went wrong; empty when it went well since.
        work: What is being done; empty when idle.
        step: Training steps done of it.
        steps: Training steps of it.
        loss: Newest loss.
        published: Versions handed over so far.
        refused: Why a version was not handed over, the newest; empty for none.
        waited_s: How long training has given way to requests [s].
    """

    phase: str = "idle"
    reason: str = ""
    work: str = ""
    step: int = 0
    steps: int = 0
    loss: float = 0.0
    published: int = 0
    refused: str = ""
    waited_s: float = 0.0


class LearningHost:
    """Looks for work, does it, and hands over the versions that come of it."""

    def __init__(
        self,
        curriculum: Curriculum,
        served: Version,
        gate: RequestGate,
        *,
        hand_over: Callable[[Version], None],
        poll_s: float = POLL_S,
        device: str = "cpu",
    ) -> None:
        """Begin with what is served; `start` begins to work.

        Args:
            curriculum: Finds the work.
            served: What acts now.
            gate: Where training gives way.
            hand_over: Takes each new version; called from the learner's thread.
            poll_s: Time between two looks at the store [s].
            device: Where versions are loaded.
        """
        self._curriculum, self._served, self._gate = curriculum, served, gate
        self._hand_over, self._poll_s, self._device = hand_over, poll_s, device
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="learner", daemon=True)
        self._health = LearnerHealth()
        self._failures = 0
        self._trouble = {"looking": "", "learning": ""}

    @property
    def health(self) -> LearnerHealth:
        """How the learner is now."""
        if self._thread.ident is not None and not self._thread.is_alive():
            return replace(self._health, phase="stopped")
        return replace(self._health, waited_s=self._gate.waited_s)

    def start(self) -> None:
        """Work in a thread of its own, of the lowest priority."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Save what is under way and end the thread; tell whether it ended in time."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def attempt(self) -> bool:
        """Do the next piece of work, in this thread; tell whether there was one and it was done.

        Raises nothing: what went wrong is in `health`.
        """
        work = self._try("looking", lambda: self._curriculum.next(verify(self._served.path)))
        if work is None:
            return False
        self._say(phase="training", work=work.name, step=0, steps=0)
        return bool(self._try("learning", lambda: work.run(self._listener())))

    def _work(self) -> None:
        lower_priority()
        with self._gate.training(), device_stream(self._device, is_urgent=False):
            while not self._stop.is_set():
                if not self.attempt():
                    self._stop.wait(self._pause_s())

    def _pause_s(self) -> float:
        """Return the time to the next look, longer after each failure in a row [s]."""
        return min(self._poll_s * 2.0**self._failures, max(self._poll_s, LONGEST_PAUSE_S))

    def _listener(self) -> Listener:
        return Listener(
            report=self._on_progress,
            should_stop=self._should_stop,
            reached=self._on_reached,
            refused=self._on_refused,
        )

    def _should_stop(self) -> bool:
        self._gate.begin_step()
        return self._stop.is_set()

    def _on_progress(self, progress: Progress) -> None:
        self._say(step=progress.step, steps=progress.steps, loss=progress.loss)

    def _on_reached(self, checkpoint: Checkpoint) -> None:
        """Hand a version over, unless it must not follow the one that acts."""
        if checkpoint.sha256 == self._served.sha256:
            return
        try:
            version = load_version(checkpoint, self._device)
            check_canary(version.policy, self._served.policy, where=str(checkpoint.path))
            finish_on(self._device)
            assign(checkpoint.path.parent.parent, "live", checkpoint.path)
            self._hand_over(version)
        except CheckpointError as error:
            self._on_refused(str(error))
            return
        self._served = version
        self._say(published=self._health.published + 1, refused="")

    def _on_refused(self, reason: str) -> None:
        _LOGGER.warning("not served: %s", reason)
        self._say(refused=reason)

    def _say(self, **values: object) -> None:
        self._health = replace(self._health, **values)  # type: ignore[arg-type]

    def _try(self, what: str, act: Callable[[], Result]) -> Result | None:
        """Return what an act returns; None where it fails, which is told and never raised."""
        try:
            result = act()
        except So101Error as error:
            self._fail(what, str(error))
        except Exception as error:  # a bug, a full memory: serving goes on all the same
            _LOGGER.exception("a bug in the learner")
            self._fail(what, f"{type(error).__name__}: {error}")
        else:
            self._failures = 0
            self._rest(what, "")
            return result
        return None

    def _fail(self, what: str, reason: str) -> None:
        self._failures += 1
        _LOGGER.error("%s failed, serving goes on: %s", what, reason)
        self._rest(what, reason)

    def _rest(self, what: str, reason: str) -> None:
        """Say how it is when nothing is done: what failed stays so until it went well."""
        self._trouble[what] = reason
        reasons = "; ".join(filter(None, self._trouble.values()))
        self._say(phase="degraded" if reasons else "idle", reason=reasons, work="")


def load_version(checkpoint: Checkpoint, device: str = "cpu") -> Version:
    """Read a checkpoint's policy from the disk.

    Args:
        checkpoint: Which.
        device: Where its network runs.

    Raises:
        CheckpointError: It is damaged, or does not fit the robot.
    """
    return Version(
        path=checkpoint.path,
        sha256=checkpoint.sha256,
        policy=load_policy(checkpoint.path, JOINTS, CAMERAS, device=device),
        step=checkpoint.record.step,
    )


def where_to_go_on(root: Path, named: Checkpoint, live: Checkpoint | None) -> Checkpoint:
    """Return what is served first: what was served last where it came of the one that is named.

    Args:
        root: Directory of all checkpoints.
        named: What the person asks for.
        live: What has the role ``live``; None for nothing.
    """
    if live is not None and live.sha256 in family(root, named.sha256):
        return live
    return named
