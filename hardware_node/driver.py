"""The real arm as a whole: its servos, loop and thread, and what a person may ask of them.

Knows no ROS. What the arm loop does not decide is decided here: when a lost port is tried again,
when torque may go on and off, and how the arm is put down. Only a person arms; nothing does so by
itself, also after a fault that is over.
"""

import threading
import time
from collections.abc import Callable

import numpy as np

from hardware_node.arm import ServoArm
from hardware_node.backoff import Backoff
from hardware_node.boot import Booted
from hardware_node.health import Judgement, Totals
from hardware_node.heat import SlowWhenHot
from hardware_node.params import HardwareParams
from hardware_node.settings import settings_of, within
from so101.arrays import FloatArray, frozen
from so101.clock import seconds
from so101.control.arm_loop import STILL_SPEED, ArmLoop, ArmTick
from so101.control.arm_mode import ArmMode, ArmRequest, next_mode
from so101.control.arm_thread import ArmThread
from so101.control.safety import SafetyGate
from so101.control.trajectory import JointTrajectory
from so101.errors import HardwareError, MotionError
from so101.kinematics.collision import CollisionModel
from so101.kinematics.planner import plan_line
from so101.robot import GRIPPER, so101
from so101.servos.bus import ServoBus
from so101.servos.calibration import Calibration

AT_REST_RAD = 0.15
"""A joint that near to its rest pose is there [rad]; loose, it sags no further than that."""

REST_PATIENCE_S = 3.0
"""So much longer than planned may the way to the rest pose take [s]."""

_ABLE = (ArmMode.ARMED, ArmMode.HOLDING)


class Driver:
    """Runs the arm. All calls come from one thread; ticks have their own.

    Attributes:
        arm: The servos.
        loop: The arm loop.
        thread: What paces it.
        newest: What the newest tick did; None before the first.
    """

    def __init__(
        self,
        params: HardwareParams,
        calibration: Calibration,
        open_bus: Callable[[], ServoBus],
        on_tick: Callable[[int, ArmTick], None],
        now_ns: Callable[[], int] = time.monotonic_ns,
        *,
        steady_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Put the parts together; no device is touched.

        Args:
            params: What a person chose.
            calibration: Of this arm.
            open_bus: Opens the port.
            on_tick: Called in the arm loop's thread, see `ArmThread`.
            now_ns: The clock that stamps are of [ns].
            steady_ns: The clock of deadlines on the bus, and of how long something lasts [ns].
        """
        self._params, self._open_bus, self._tell = params, open_bus, on_tick
        self._now_ns = now_ns
        self._spec = spec = within(so101(), calibration)
        self._planned = CollisionModel() if params.check_collisions else None
        gate = SafetyGate(spec, CollisionModel() if params.check_collisions else None)
        self.arm = ServoArm(calibration, spec, settings_of(params), steady_ns)
        slow = SlowWhenHot(spec, params.hot_speed, lambda: self.arm.vitals.health.is_hot)
        self.loop = ArmLoop(self.arm, spec, gate, (slow,))
        self.thread = ArmThread(self.loop, self._on_tick, now_ns=now_ns)
        self._backoff = Backoff()
        self.newest: ArmTick | None = None
        self._ticked = threading.Condition()
        self._rest_ns: int | None = None
        self._rest_reason = ""

    def connect(self) -> Booted:
        """Open the port, check the servos and take a first reading; nothing moves.

        Raises:
            HardwareError: There is no port, or the servos are not as wanted.
        """
        bus = self._open_bus()
        try:
            return self.arm.attach(bus)
        except HardwareError:
            bus.close()
            raise

    def supervise(self) -> str:
        """Do what is due between ticks; return what a person should know, or nothing.

        A lost port is opened again; the arm stays at fault until a person recovers it. A servo
        that is too hot sends an armed arm to its rest pose.
        """
        if self.arm.bus is None:
            return self._reconnect()
        if self._rest_ns is not None:
            return self._finish_rest()
        if self.loop.mode in _ABLE and self._hottest >= self._params.too_hot:
            return self._begin_rest(f"a servo has {self._hottest:.0f} °C")
        return ""

    def judge(self) -> Judgement:
        """Judge how the arm has been since the last time."""
        arm, vitals = self.arm, self.arm.vitals
        counts = None if arm.bus is None else arm.bus.counts
        totals = Totals(
            bus_errors=0 if counts is None else counts.lost + counts.corrupt,
            late_ticks=self.thread.missed,
            overloads=arm.overloads,
        )
        return vitals.health.look(vitals.window.take(), totals, seconds(self._now_ns()))

    def switch_arm(self, is_armed: bool) -> str:
        """Arm or disarm.

        Raises:
            MotionError: It is stopped, at fault, at rest or too hot.
            HardwareError: The servos are not as wanted, or do not hold.
        """
        if not is_armed:
            self._rest_ns = None
            self.loop.disarm()
            return "disarmed: the arm holds where it is"
        self._refuse_rest()
        if heat := self.arm.vitals.health.heat:
            raise MotionError(f"arm: let it cool down: {heat}")
        if self.loop.mode in _ABLE and self.arm.is_torque_on:
            return "armed already"
        self._hold()
        return "armed"

    def switch_torque(self, is_on: bool) -> str:
        """Let the servos hold, or go loose.

        Raises:
            MotionError: The arm is armed or moves.
            HardwareError: The gripper holds something, or the servos do not obey.
        """
        if self.loop.mode in _ABLE:
            raise MotionError("arm: disarm it before its torque is switched")
        if is_on:
            self._hold()
            self.loop.disarm()
            return "the arm holds where it is"
        tick = self._tick
        if np.abs(tick.state.velocities).max() >= STILL_SPEED or not self.loop.is_settled:
            raise MotionError("arm: it moves; torque stays on until it stands still")
        self.arm.switch_off()
        return "the arm is loose"

    def estop(self, reason: str) -> None:
        """Come to rest as fast as the limits allow, and stay so."""
        self._rest_ns = None
        self.loop.estop(reason)

    def follow(self, trajectory: JointTrajectory) -> None:
        """Follow a trajectory.

        Raises:
            TrajectoryError: The arm loop refuses it.
            MotionError: The arm is on its way to rest.
        """
        self._refuse_rest()
        self.loop.follow(trajectory, self._now_ns())

    def check_able(self) -> None:
        """Make sure that the arm may follow somebody.

        Raises:
            MotionError: It is not armed, stopped, at fault or on its way to rest.
        """
        self._refuse_rest()
        next_mode(self.loop.mode, ArmRequest.FOLLOW)

    def hold(self, reason: str) -> None:
        """Come to rest, and wait for the next trajectory."""
        self.loop.hold(reason)

    def put_down(self) -> str:
        """End in order: an armed arm goes to its rest pose; whoever is there goes loose.

        What does not stand still in its rest pose, or holds something, holds on. It returns when
        that is done, or took too long, and says how it ended.
        """
        if self.arm.bus is None:
            return "the port is lost; the servos hold what they held"
        if self.loop.mode in _ABLE and self._params.rests_at_end and self._rest_ns is None:
            said = self._begin_rest("the node ends")
            if self._rest_ns is None:
                return said
        while self._rest_ns is not None and self.thread.is_running and self.arm.bus is not None:
            with self._ticked:
                self._ticked.wait(0.1)
            said = self._finish_rest()
            if said:
                return said
        return self._let_go()

    def close(self) -> None:
        """Stop the thread and close the port; what the servos hold they go on to hold.

        Raises:
            Exception: What had ended the thread before.
        """
        try:
            self.thread.stop()
        finally:
            self.arm.detach("closed")

    @property
    def _hottest(self) -> float:
        return self.arm.vitals.hottest

    @property
    def _tick(self) -> ArmTick:
        if self.newest is None:
            raise HardwareError("arm: no tick yet")
        return self.newest

    def _on_tick(self, stamp_ns: int, tick: ArmTick) -> None:
        self.newest = tick
        self._tell(stamp_ns, tick)
        with self._ticked:
            self._ticked.notify_all()

    def _hold(self) -> None:
        """Arm, then switch the torque on: the first goal is the newest reading."""
        self.arm.check()
        self.loop.arm()
        try:
            self.arm.switch_on()
        except HardwareError:
            self.loop.disarm()
            raise

    def _reconnect(self) -> str:
        now_ns = self._now_ns()
        if not self._backoff.is_due(now_ns):
            return ""
        try:
            self.connect()
        except HardwareError as error:
            self._backoff.failed(now_ns)
            return f"still not connected: {error}"
        self._backoff.reset()
        return "connected again; recover and arm the arm to go on"

    def _refuse_rest(self) -> None:
        if self._rest_ns is not None:
            raise MotionError(f"arm: on its way to rest: {self._rest_reason}")

    def _begin_rest(self, reason: str) -> str:
        """Set out for the rest pose; the gripper stays as it is."""
        command, now_ns = self._tick.command, self._now_ns()
        try:
            goal = self._rest_pose(command)
            is_hot, speed = self.arm.vitals.health.is_hot, self._params.rest_speed
            speed = min(speed, self._params.hot_speed) if is_hot else speed
            way = plan_line(command, goal, self._spec, self._planned, speed=speed, stamp_ns=now_ns)
            self.loop.follow(way, now_ns)
        except MotionError as error:
            self.loop.disarm()
            return f"{reason}; holding here, for there is no way to the rest pose: {error}"
        self._rest_ns, self._rest_reason = now_ns + way.times_ns[-1], reason
        return f"{reason}: going to the rest pose"

    def _finish_rest(self) -> str:
        """Disarm and let go when the way to rest is over; return how it ended, once."""
        assert self._rest_ns is not None
        late_s = seconds(self._now_ns() - self._rest_ns)
        if self.loop.mode in _ABLE and late_s < REST_PATIENCE_S:
            is_there = late_s > 0.0 and self.loop.is_settled and self._is_at_rest()
            if not is_there:
                return ""
        self._rest_ns = None
        self.loop.disarm()
        return self._let_go()

    def _let_go(self) -> str:
        """Switch the torque off where that drops nothing."""
        if not self.arm.is_torque_on:
            return "the arm is loose"
        if not self._is_at_rest():
            return "not in its rest pose: the arm holds where it is"
        if self.loop.mode is not ArmMode.DISARMED:
            return f"{self.loop.mode.value}: the arm holds where it is"
        try:
            self.arm.switch_off()
        except HardwareError as error:
            return f"at rest, and holding on: {error}"
        return "at rest, the arm is loose"

    def _is_at_rest(self) -> bool:
        state = self._tick.state
        off = np.abs(state.positions - self._rest_pose(state.positions)).max()
        return bool(off < AT_REST_RAD and np.abs(state.velocities).max() < STILL_SPEED)

    def _rest_pose(self, around: FloatArray) -> FloatArray:
        pose = self._spec.poses["rest"].copy()
        pose[GRIPPER] = around[GRIPPER]
        return frozen(np.clip(pose, self._spec.lower, self._spec.upper))
