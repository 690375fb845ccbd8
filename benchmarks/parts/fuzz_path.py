"""The way of a message from its topic to the servo bus, made of what the nodes are made of.

What a topic carries is read, ruled on, written, read again, followed, gated and sent, as
``intervention_node`` and ``hardware_node`` do; only their callbacks and the middleware are left
out. Nothing is random but what is passed in.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from parts.fuzz_messages import Present, draw
from parts.fuzz_oracle import Oracle
from parts.fuzz_servos import FuzzServos, calibration

from hardware_node.driver import Driver
from hardware_node.params import HardwareParams
from hardware_node.settings import within
from intervention_node.intervention import Intervention
from intervention_node.params import InterventionParams
from so101.clock import CONTROL_GRID
from so101.control.arbitration import Ruling
from so101.control.arm_mode import ArmMode
from so101.control.trajectory import JointTrajectory
from so101.episode import ControlSource
from so101.errors import HardwareError, MotionError, SessionError, TrajectoryError
from so101.events import ControlEvent
from so101.robot import so101
from so101.ros.trajectory_bytes import trajectory_from_bytes, trajectory_to_bytes
from so101.servos.bus import ServoBus

ARM = "arm"
"""The topic behind the arbiter, on which nobody else should publish."""

TOPICS = (ControlSource.POLICY, ControlSource.TELEOP, ControlSource.MOTION, ARM)
TOPIC_SHARES = (0.65, 0.1, 0.1, 0.15)
FIRST = 600
_ABLE = (ArmMode.ARMED, ArmMode.HOLDING)


class Path:
    """Arbiter, driver and servos, tick by tick.

    Attributes:
        driver: Of the arm.
        servos: Behind its port.
        counts: What became of messages and ticks.
        present: What the next message may refer to.
    """

    def __init__(self, rng: np.random.Generator, *, check_collisions: bool = True) -> None:
        """Arm the arm, as a person would."""
        self.counts: Counter[str] = Counter()
        self.servos = FuzzServos(calibration(), rng)
        params = HardwareParams(check_collisions=check_collisions, write_eeprom=True)
        self.driver = Driver(
            params,
            calibration(),
            lambda: ServoBus(self.servos, now_ns=self.servos.now_ns),
            lambda stamp_ns, tick: None,
            now_ns=self.servos.now_ns,
            steady_ns=self.servos.now_ns,
        )
        arbiter = InterventionParams(lockstep=False, teleop_device="gamepad")
        self._intervention = Intervention(arbiter)
        self._index, self._trajectory_ns = FIRST, 0
        self.servos.clock_ns = CONTROL_GRID.stamp(FIRST)
        self.driver.connect()
        self.present = Present(self.servos.clock_ns, so101().home)
        self.tick()
        self.arm()

    @property
    def mode(self) -> ArmMode:
        """Of the arm loop."""
        return self.driver.loop.mode

    @property
    def source(self) -> ControlSource:
        """Who is in control."""
        return self._intervention.arbiter.source

    @property
    def is_person_acting(self) -> bool:
        """Whether a person has taken over."""
        return self._intervention.arbiter.has_taken_over

    def arm(self) -> None:
        """Do what a person does after an e-stop or a fault, and let the policy act."""
        if self.mode in (ArmMode.ESTOPPED, ArmMode.FAULT):
            self.driver.loop.recover()
        self.driver.switch_arm(True)
        arbiter = self._intervention.arbiter
        if arbiter.source is ControlSource.ESTOP:
            self._obey(arbiter.recover(self.present.now_ns))
        arbiter.enable(ControlSource.POLICY, self.present.now_ns)

    def estop(self) -> None:
        """Press the button."""
        self.driver.estop("fuzz")
        self._obey(self._intervention.arbiter.estop(self.present.now_ns, "fuzz"))

    def switch_person(self) -> None:
        """Take over, or give back; not in an e-stop."""
        arbiter = self._intervention.arbiter
        if arbiter.source is ControlSource.ESTOP:
            return
        is_over = arbiter.has_taken_over
        self._obey(self._intervention.release() if is_over else self._intervention.take_over())

    def deliver(self, topic: Any, data: bytes) -> str:
        """Deliver what a topic carries; return what became of it."""
        try:
            trajectory = trajectory_from_bytes(data)
        except TrajectoryError:
            return "not readable"
        if topic == ARM:
            return self._follow(trajectory)
        ruling: Ruling = self._intervention.offer(topic, trajectory)
        self._obey(ruling.event)
        if ruling.trajectory is None:
            return f"dropped: {ruling.reason.split(':')[0]}"
        return self._follow(trajectory_from_bytes(trajectory_to_bytes(ruling.trajectory)))

    def sign(self) -> None:
        """Let whoever is in control sign for life."""
        if self.source in TOPICS:
            self._intervention.on_alive(self.source, self.present.now_ns, "")

    def tick(self) -> None:
        """Run one control period."""
        self._index = max(self._index + 1, CONTROL_GRID.ceil(self.servos.clock_ns))
        self.servos.advance(CONTROL_GRID.stamp(self._index))
        self.present.now_ns = stamp_ns = CONTROL_GRID.stamp(self._index)
        tick = self.driver.loop.tick(stamp_ns)
        self.present.command = tick.command
        for reason in tick.reasons:
            self.counts[f"gate: {reason.split(':')[0]}"] += 1
        if self.mode is ArmMode.FAULT and self.source is not ControlSource.ESTOP:
            self._obey(self._intervention.arbiter.estop(stamp_ns, "fault"))
        for _, ruling in self._intervention.on_command(stamp_ns, tick.command):
            self._obey(ruling.event)

    def _follow(self, trajectory: JointTrajectory) -> str:
        try:
            self.driver.follow(trajectory)
        except (MotionError, TrajectoryError):
            return "refused by the arm loop"
        self._trajectory_ns = trajectory.stamp_ns or self.present.now_ns
        return "followed"

    def _obey(self, event: ControlEvent | None) -> None:
        if event is None or event.source is not ControlSource.HOLD:
            return
        if event.stamp_ns >= self._trajectory_ns:
            self.driver.loop.hold(event.reason)


@dataclass
class Story:
    """What happened in one story.

    Attributes:
        chunks: Messages that were delivered.
        goals: Goals that were judged.
        ticks: Control periods.
        counts: What became of messages and ticks, and how they were made.
        violations: What the oracle, or an exception that nobody expected, said.
        oracle: With its margins.
        silent_ticks: So long nobody signs for life.
    """

    oracle: Oracle
    chunks: int = 0
    goals: int = 0
    ticks: int = 0
    silent_ticks: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


MOST_VIOLATIONS = 20


def tell(
    seed: int,
    number: int,
    chunks: int,
    *,
    check_collisions: bool = True,
    change: Callable[[Path], None] = lambda path: None,
) -> Story:
    """Tell one story: the same seed and number give the same one, wherever and whenever.

    Args:
        seed: Of the run.
        number: Of the story.
        chunks: How many messages are sent.
        check_collisions: As the node's parameter.
        change: Done to the path before it begins; a test takes the gate out here.
    """
    servo_rng, rng = np.random.default_rng([seed, number]).spawn(2)
    path = Path(servo_rng, check_collisions=check_collisions)
    change(path)
    story = Story(Oracle(within(so101(), calibration()), calibration()))
    while story.chunks < chunks and len(story.violations) < MOST_VIOLATIONS:
        kind, data = draw(rng, path.present)
        topic = TOPICS[int(rng.choice(len(TOPICS), p=TOPIC_SHARES))]
        try:
            became = path.deliver(topic, data)
        except Exception as error:  # it would have ended a node
            story.violations.append(f"chunk {story.chunks}: {kind}: {error!r}")
            break
        story.counts[f"{kind}: {became}"] += 1
        story.chunks += 1
        _act(path, rng, story)
        for _ in range(_ticks(rng)):
            _watch(path, rng, story)
    story.counts += path.counts
    return story


def _ticks(rng: np.random.Generator) -> int:
    return int(rng.choice((0, 1, 2, 3, 12), p=(0.3, 0.35, 0.2, 0.14, 0.01)))


def _act(path: Path, rng: np.random.Generator, story: Story) -> None:
    """Do now and then what people do."""
    chance = rng.random()
    if chance < (0.02 if path.is_person_acting else 0.004):
        path.switch_person()
    elif chance < 0.022:
        path.estop()
    elif path.mode not in _ABLE and rng.random() < 0.2:
        try:
            path.arm()
        except (HardwareError, MotionError, SessionError):
            return  # it still moves
        path.servos.take()
        story.oracle.begin(path.servos.measured)
        story.counts["armed again"] += 1


def _watch(path: Path, rng: np.random.Generator, story: Story) -> None:
    """Run a tick and judge the goals that came of it; at times nobody signs for life for long."""
    if rng.random() < 0.005:
        story.silent_ticks = 12
    story.silent_ticks = max(0, story.silent_ticks - 1)
    if not story.silent_ticks:
        path.sign()
    path.tick()
    story.ticks += 1
    for goal in path.servos.take():
        story.goals += 1
        for violation in story.oracle.judge(goal, path.servos.measured):
            story.violations.append(f"chunk {story.chunks}: tick {story.ticks}: {violation}")
