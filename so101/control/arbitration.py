"""What the arbiter is told and what it answers, as values."""

from collections.abc import Mapping
from dataclasses import dataclass

from so101.clock import NS_PER_S
from so101.control.trajectory import JointTrajectory
from so101.episode import ControlSource
from so101.events import ControlEvent
from so101.robot import JOINTS


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """What the arbiter knows about a source.

    Attributes:
        device: Its device, for the record (leader, gamepad, scripted, policy, ...).
        decision_ticks: Policy ticks from one of its trajectories to the next; 0 when it plans its
            whole motion at once.
        must_align: A person acts, so it may only begin where the arm is. Others plan from the
            observation and are spliced.
    """

    device: str
    decision_ticks: int = 0
    must_align: bool = False


@dataclass(frozen=True, kw_only=True)
class ArbiterConfig:
    """How control is granted.

    Attributes:
        sources: What is known about each source.
        alive_timeout_ns: A source in control that was silent this long loses it [ns]; None where
            time waits for it.
        handover_rad: Largest step at which a source that must align may begin [rad].
        joints: Joint names every trajectory must have.
    """

    sources: Mapping[ControlSource, SourceConfig]
    alive_timeout_ns: int | None = NS_PER_S // 10
    handover_rad: float = 0.02
    joints: tuple[str, ...] = JOINTS


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """What came of an offer.

    Attributes:
        trajectory: To forward, marked with its source; None when it was dropped.
        event: The change of control it brought, or None.
        reason: Why it was dropped, or empty.
    """

    trajectory: JointTrajectory | None = None
    event: ControlEvent | None = None
    reason: str = ""
