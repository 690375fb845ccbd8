"""Simulation node: a simulated arm with cameras behind the topics and services of the real one.

Owns the clock: it steps the cell, publishes every tick and, in lock-step, waits for whoever is in
control. Physics is in ``so101.simulation``, the arm loop and its gate in ``so101.control``.
"""

import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
from rclpy.node import Node

from simulation_node.episode_time import JudgedEpisode, is_cancelled, next_start_ns
from simulation_node.lockstep import Granted, LockStep, source_named
from simulation_node.pace import Pace
from simulation_node.params import SimulationParams
from so101.clock import nanoseconds
from so101.control.trajectory import JointTrajectory
from so101.episode import ControlSource, EpisodeFacts, EpisodeState
from so101.errors import SessionError, TrajectoryError
from so101.events import ControlEvent, EpisodeEvent, RewardEvent
from so101.images import encode_jpeg
from so101.kinematics.urdf import robot_description
from so101.ros.convert import (
    to_camera_info,
    to_clock,
    to_event,
    to_image,
    to_joint_command,
    to_joint_state,
    to_poses,
    to_text,
)
from so101.ros.endpoints import Endpoints
from so101.ros.health import Health
from so101.ros.params import declare
from so101.ros.raw_images import to_raw_image
from so101.ros.run import run
from so101.ros.spin import Spinner
from so101.simulation.build import make_cell
from so101.simulation.cell import CellTick, SimulatedCell
from so101.simulation.tasks.table import start_of
from so101.topics import (
    ARM_STATE,
    ARM_TRAJECTORY,
    CLOCK,
    CONTROL_SOURCE,
    EPISODE,
    JOINT_COMMANDS,
    JOINT_STATES,
    OBJECTS,
    REWARD,
    ROBOT_DESCRIPTION,
    camera_info_topic,
    image_topic,
    raw_image_topic,
)

NEAR_START = 0.15
"""The arm counts as brought to its start within this [rad]; the rest is put right exactly."""

IDLE_SEED = 2**62
"""Start of the scene nobody asked for; no episode has it."""

WAIT_S = 0.05
"""Longest wait for a message before the state is looked at again [s]."""


class SimulationNode(Node):
    """A robot that exists only in memory."""

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters, create interfaces and the world."""
        super().__init__("simulation_node", **kwargs)
        self._params = params = declare(self, SimulationParams)
        self._lockstep = LockStep(nanoseconds(params.simulated_latency))
        self._pending: list[tuple[ControlSource, JointTrajectory]] = []
        self._reset_facts: EpisodeFacts | None = None
        self._reset_asked_at = 0.0
        self._reset_ns = 0
        self._judged = JudgedEpisode()
        self._pace = Pace(params.speed)
        self._cell = self._make_cell(params)
        self._mode = ""
        self._endpoints = endpoints = Endpoints(self)
        images = [image_topic(camera) for camera in params.cameras]
        infos = [camera_info_topic(camera) for camera in params.cameras]
        endpoints.offer(JOINT_STATES, JOINT_COMMANDS, ARM_STATE, OBJECTS, CLOCK)
        raw = [raw_image_topic(camera) for camera in params.cameras if params.raw_images]
        endpoints.offer(ROBOT_DESCRIPTION, *images, *infos, *raw)
        endpoints.follow(ARM_TRAJECTORY, self._on_trajectory)
        endpoints.hear(CONTROL_SOURCE, ControlEvent, self._on_control)
        endpoints.hear(EPISODE, EpisodeEvent, self._on_episode)
        endpoints.hear(REWARD, RewardEvent, lambda event: self._judged.on_reward(event.stamp_ns))
        endpoints.switch("arm/arm", self._on_arm)
        endpoints.switch("arm/estop", self._on_estop)
        endpoints.switch("arm/torque", self._on_torque)
        endpoints.trigger("arm/recover", self._on_recover)
        endpoints.publish(ROBOT_DESCRIPTION, to_text(robot_description()))
        Health(self, endpoints)

    def _make_cell(self, params: SimulationParams) -> SimulatedCell:
        cell = make_cell(
            cameras=params.cameras,
            camera_size=(params.camera_height, params.camera_width),
            check_collisions=params.check_collisions,
        )
        cell.reset(start_of(EpisodeFacts(id="idle", task="pick", seed=IDLE_SEED)))
        return cell

    def simulate(self, spinner: Spinner) -> None:
        """Step until stopped."""
        while not spinner.is_stopped:
            is_policy_tick = self._cell.is_policy_tick
            self._publish(self._cell.tick())
            if is_policy_tick:
                spinner.spin_once(0.0)
            while not spinner.is_stopped and not self._may_pass():
                spinner.spin_once(WAIT_S)
            if self._try_reset():
                continue  # the next tick is the first one of the new scene
            self._cell.advance()
            ahead_s = self._pace.ahead_s(self._cell.stamp_ns, time.monotonic_ns())
            if ahead_s > 0.0:
                spinner.spin_until(lambda: False, ahead_s)
        self._cell.world.close()

    def _may_pass(self) -> bool:
        """Apply what arrived; tell whether time may pass, or the scene be reset."""
        latency_ns = self._lockstep.latency_ns
        while self._pending and self._pending[0][1].stamp_ns + latency_ns <= self._cell.last_ns:
            self._follow(*self._pending.pop(0))
        if self._is_reset_due() or not self._params.lockstep:
            return True
        last_ns = self._cell.last_ns
        return self._judged.may_pass(last_ns) and self._lockstep.may_pass(
            last_ns, is_still=self._cell.is_still, is_pending=bool(self._pending)
        )

    def _follow(self, source: ControlSource, trajectory: JointTrajectory) -> None:
        try:
            self._cell.follow(trajectory)
        except TrajectoryError as error:
            self.get_logger().warning(f"{source.value}: trajectory refused: {error}")
            return
        ends_ns = trajectory.stamp_ns + trajectory.times_ns[-1]
        granted = Granted(source=source, stamp_ns=trajectory.stamp_ns, ends_ns=ends_ns)
        self._lockstep.on_trajectory(granted)

    def _is_reset_due(self) -> bool:
        """Tell whether a reset was asked for and the arm stands still at its start."""
        facts = self._reset_facts
        if facts is None or not self._cell.is_still:
            return False
        off = np.abs(self._cell.measure().positions - start_of(facts).positions)[:-1].max()
        waited_s = time.monotonic() - self._reset_asked_at
        return bool(off < NEAR_START) or waited_s > self._params.reset_patience

    def _try_reset(self) -> bool:
        """Put arm and objects at their start if a reset is due."""
        if self._reset_facts is None or not self._is_reset_due():
            return False
        facts, self._reset_facts = self._reset_facts, None
        begins_ns = 0
        if self._params.lockstep:
            begins_ns = next_start_ns(self._judged.ended_ns, self._cell.last_ns)
        self._reset_ns = self._cell.reset(start_of(facts), begins_ns)
        self._pending.clear()
        self._lockstep.on_reset(self._reset_ns)
        self._judged.on_reset(facts, self._reset_ns)
        self._pace.restart()
        return True

    def _publish(self, tick: CellTick) -> None:
        endpoints, stamp_ns = self._endpoints, tick.stamp_ns
        endpoints.publish(JOINT_STATES, to_joint_state(stamp_ns, tick.arm.state))
        endpoints.publish(JOINT_COMMANDS, to_joint_command(stamp_ns, tick.arm.command))
        endpoints.publish(CLOCK, to_clock(stamp_ns))
        if tick.objects is not None:
            endpoints.publish(OBJECTS, to_poses(stamp_ns, tick.objects))
        for camera, image in tick.images.items():
            jpeg = encode_jpeg(image, self._params.jpeg_quality)
            endpoints.publish(image_topic(camera), to_image(stamp_ns, camera, jpeg))
            if self._params.raw_images:
                endpoints.publish(raw_image_topic(camera), to_raw_image(stamp_ns, camera, image))
            focal_px = float(self._cell.world.intrinsics(camera)[0, 0])
            info = to_camera_info(stamp_ns, camera, self._cell.world.camera_size, focal_px)
            endpoints.publish(camera_info_topic(camera), info)
        self._tell_mode(stamp_ns)

    def _tell_mode(self, stamp_ns: int) -> None:
        """Publish the arm's mode if it is news."""
        event = self._cell.loop.state_event(stamp_ns)
        if event.message != self._mode:
            self._mode = event.message
            self._endpoints.publish(ARM_STATE, to_event(event))

    def _on_control(self, event: ControlEvent) -> None:
        """Stop the arm when control was given up after the trajectory it follows."""
        self._lockstep.on_control(event)
        is_idle = self._lockstep.source is ControlSource.HOLD
        if event.source is ControlSource.HOLD and is_idle:
            self._cell.loop.hold(event.reason)

    def _on_trajectory(self, trajectory: JointTrajectory) -> None:
        if not trajectory.stamp_ns:  # it means now
            trajectory = replace(trajectory, stamp_ns=self._stand_ns)
        source = source_named(trajectory.source)
        if trajectory.stamp_ns >= self._reset_ns:  # older ones belong to another scene
            self._pending.append((source, trajectory))

    def _on_episode(self, event: EpisodeEvent) -> None:
        if event.state is EpisodeState.RESETTING:
            start_of(event.facts)  # refused here, where the message can still be dropped
            self._reset_facts, self._reset_asked_at = event.facts, time.monotonic()
        elif self._reset_facts is not None and is_cancelled(self._reset_facts, event):
            self._reset_facts = None
        self._judged.on_episode(event)

    @property
    def _stand_ns(self) -> int:
        """Stamp of the last tick [ns]."""
        return max(0, self._cell.last_ns)

    def _on_arm(self, is_armed: bool) -> str:
        if is_armed:
            self._cell.loop.arm()
        else:
            self._cell.loop.disarm()
        self._tell_mode(self._stand_ns)  # there may be no tick before long
        return "armed" if is_armed else "disarmed: the arm holds where it is"

    def _on_estop(self, is_pressed: bool) -> str:
        if not is_pressed:
            raise SessionError("an e-stop is released by arm/recover only")
        self._cell.loop.estop("arm/estop was called")
        self._tell_mode(self._stand_ns)
        return "stopping"

    def _on_torque(self, is_on: bool) -> str:
        raise SessionError("the simulated arm's torque cannot be switched")

    def _on_recover(self) -> str:
        self._cell.loop.recover()
        self._tell_mode(self._stand_ns)
        return "recovered: arm it to go on"


def main() -> int:
    """Run the simulation node."""
    return run(SimulationNode, loop=lambda node, spinner: node.simulate(spinner))


if __name__ == "__main__":
    sys.exit(main())
