"""Tasks by name, and the start of an episode from its recorded facts."""

from so101.episode import EpisodeFacts
from so101.errors import ConfigError
from so101.simulation.tasks.pick import PickTask
from so101.simulation.tasks.task import Start

TASKS = {"pick": PickTask}

RECOVERY = "recovery"
RECOVERY_JITTER = 0.08
"""How far off home the body joints start in a recovery start [rad]."""


def make_task(name: str, region: str = "std") -> PickTask:
    """Return a task.

    Raises:
        ConfigError: The task or the region is unknown.
    """
    if name not in TASKS:
        raise ConfigError(f"task {name!r} is not one of {', '.join(TASKS)}")
    return TASKS[name](region=region)  # type: ignore[arg-type]  # checked by the task


def start_of(facts: EpisodeFacts) -> Start:
    """Return where an episode starts: from its task, its seed and its start pose.

    The start pose is a region's name; behind it, ``+recovery`` starts the arm off home, and a
    number such as ``+0.3`` by up to that angle in every body joint [rad].

    Raises:
        ConfigError: Task, region or start are unknown, or the seed is negative.
    """
    region, plus, extra = facts.start_pose.partition("+")
    task = make_task(facts.task, region or "std")
    return task.start(facts.drawn_from, jitter=_jitter(facts.start_pose, extra) if plus else 0.0)


def _jitter(start_pose: str, extra: str) -> float:
    if extra == RECOVERY:
        return RECOVERY_JITTER
    try:
        jitter = float(extra)
    except ValueError:
        jitter = -1.0
    if not 0.0 <= jitter <= 1.0:
        raise ConfigError(f"start pose {start_pose!r}: {extra!r} is not {RECOVERY!r} or 0..1 rad")
    return jitter
