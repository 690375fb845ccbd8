"""Hardware node: the real arm behind the same topics and services as the simulated one.

Carries messages between ROS and ``hardware_node.driver``, which owns the servos, the arm loop and
its thread. Stamps are the graph's clock (``so101.graph_clock``), which no set date disturbs.
"""

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import JointState

from hardware_node.clocks import Clocks
from hardware_node.detour import Detour
from hardware_node.driver import Driver
from hardware_node.params import HardwareParams
from hardware_node.telling import diagnostics_of
from so101.control.arm_loop import ArmTick
from so101.control.trajectory import JointTrajectory
from so101.data.bags.custom_data import CALIBRATION
from so101.episode import ControlSource
from so101.errors import ConfigError, MotionError, SessionError, TrajectoryError
from so101.events import ControlEvent, from_message
from so101.kinematics.urdf import robot_description
from so101.objections import NO_ARMING, Objections
from so101.ros.convert import (
    from_joint_command,
    stamp_of,
    to_event,
    to_joint_command,
    to_joint_state,
    to_text,
)
from so101.ros.endpoints import Endpoints
from so101.ros.health import Health
from so101.ros.params import declare
from so101.ros.run import run
from so101.ros.spin import Spinner
from so101.ros.timing import graph_clock, repeat
from so101.servos.bus import ServoBus
from so101.servos.calibration import read_calibration
from so101.servos.port import SerialPort
from so101.topics import (
    ARM_SETPOINTS,
    ARM_STATE,
    ARM_STATES_RAW,
    ARM_TRAJECTORY,
    CONTROL_SOURCE,
    CONTROLLER_TRAJECTORY,
    DIAGNOSTICS,
    JOINT_COMMANDS,
    JOINT_STATES,
    ROBOT_DESCRIPTION,
)

WAIT_S = 0.05
"""Longest wait for a message before the driver is looked after [s]."""

DIAGNOSTICS_S = 1.0
OBJECTION_S = 3.0
"""What was said against arming and not repeated for so long counts no more [s]."""


class HardwareNode(Node):
    """The real arm."""

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters, create interfaces; no device is opened."""
        super().__init__("hardware_node", **kwargs)
        params = declare(self, HardwareParams)
        if not params.calibration:
            raise ConfigError(
                "hardware_node: parameter calibration: name this arm's file; "
                "`so101 calibrate` makes one"
            )
        calibration = read_calibration(Path(params.calibration).expanduser())
        self._endpoints = endpoints = Endpoints(self)
        self._calibrated = {CALIBRATION: calibration.digest()}
        self._port, self._mode = params.port, ""
        self._mode_lock = threading.Lock()
        self._newest_ns = self._trajectory_ns = 0
        endpoints.offer(JOINT_STATES, JOINT_COMMANDS, ARM_STATE, DIAGNOSTICS)
        self._driver = Driver(
            params,
            calibration,
            lambda: ServoBus(SerialPort(params.port)),
            self._on_tick,
            graph_clock().now_ns,
        )
        self._clocks = Clocks(self.get_name())
        self._detour = self._join_ros2_control() if params.use_ros2_control else None
        endpoints.follow(ARM_TRAJECTORY, self._on_trajectory)
        endpoints.hear(CONTROL_SOURCE, ControlEvent, self._on_control)
        endpoints.switch("arm/arm", self._on_arm)
        endpoints.switch("arm/estop", self._on_estop)
        endpoints.switch("arm/torque", self._on_torque)
        endpoints.trigger("arm/recover", self._on_recover)
        if self._detour is None:  # else robot_state_publisher's, which says what is below
            endpoints.offer(ROBOT_DESCRIPTION)
            endpoints.publish(ROBOT_DESCRIPTION, to_text(robot_description()))
        self._objections = Objections(NO_ARMING, OBJECTION_S)
        endpoints.listen(DIAGNOSTICS, self._on_report)
        repeat(self, DIAGNOSTICS_S, self._on_diagnostics)
        Health(self, endpoints)

    def _join_ros2_control(self) -> Detour:
        endpoints = self._endpoints
        endpoints.offer(ARM_STATES_RAW, CONTROLLER_TRAJECTORY)
        endpoints.listen(ARM_SETPOINTS, self._on_setpoint)

        def tell(trajectory: JointTrajectory) -> None:
            endpoints.command(CONTROLLER_TRAJECTORY, trajectory)

        return Detour(self._driver, tell, graph_clock().now_ns)

    def drive(self, spinner: Spinner) -> None:
        """Run the arm until stopped, then put it down."""
        driver, log = self._driver, self.get_logger()
        try:
            booted = driver.connect()
            log.info(f"servos: firmware {', '.join(booted.firmware)}")
            for line in booted.mended:
                log.warning(f"put right: {line}")
            driver.thread.start()
            while not spinner.is_stopped and driver.thread.is_running:
                spinner.spin_once(WAIT_S)
                self._say(driver.supervise())
                self._say(self._detour.look() if self._detour else "")
            if driver.thread.is_running:
                self._say(driver.put_down())
        finally:
            driver.close()

    def _say(self, words: str) -> None:
        if words:
            self.get_logger().warning(words)

    def _on_tick(self, stamp_ns: int, tick: ArmTick) -> None:
        """Publish a tick; called in the arm loop's thread."""
        self._newest_ns = stamp_ns
        if self._driver.arm.is_fresh:  # what was not measured is not said
            state = to_joint_state(stamp_ns, tick.state)
            self._endpoints.publish(JOINT_STATES, state)
            if self._detour:
                self._endpoints.publish(ARM_STATES_RAW, state)
        self._endpoints.publish(JOINT_COMMANDS, to_joint_command(stamp_ns, tick.command))
        self._tell_mode(stamp_ns)

    def _tell_mode(self, stamp_ns: int) -> None:
        """Publish the arm's mode if it is news."""
        with self._mode_lock:
            event = self._driver.loop.state_event(stamp_ns)
            if event.message != self._mode:
                self._mode = event.message
                event = replace(event, values={**event.values, **self._calibrated})
                self._endpoints.publish(ARM_STATE, to_event(event))

    def _on_control(self, event: ControlEvent) -> None:
        """Stop the arm when control was given up after the trajectory it follows."""
        if event.source is ControlSource.HOLD and event.stamp_ns >= self._trajectory_ns:
            (self._detour or self._driver).hold(event.reason)

    def _on_setpoint(self, message: JointState) -> None:
        """Take what a controller of ros2_control asks for; its stamp is of another clock."""
        if self._detour:
            self._detour.take(from_joint_command(message)[1])

    def _on_trajectory(self, trajectory: JointTrajectory) -> None:
        try:
            (self._detour or self._driver).follow(trajectory)
        except (MotionError, TrajectoryError) as error:
            self.get_logger().warning(
                f"{trajectory.source}: trajectory refused: {error}", throttle_duration_sec=1.0
            )
            return
        self._trajectory_ns = trajectory.stamp_ns or self._newest_ns

    def _on_arm(self, is_armed: bool) -> str:
        if is_armed and (words := self._objections.words(time.monotonic())):
            raise SessionError(f"arm: {words}")
        return self._told(self._driver.switch_arm(is_armed))

    def _on_estop(self, is_pressed: bool) -> str:
        if not is_pressed:
            raise SessionError("an e-stop is released by arm/recover only")
        self._driver.estop("arm/estop was called")
        return self._told("stopping")

    def _on_torque(self, is_on: bool) -> str:
        return self._told(self._driver.switch_torque(is_on))

    def _on_recover(self) -> str:
        self._driver.loop.recover()
        return self._told("recovered: arm it to go on")

    def _told(self, answer: str) -> str:
        self._tell_mode(self._newest_ns)
        return answer

    def _on_diagnostics(self) -> None:
        clock, judgement = graph_clock(), self._driver.judge()
        event = diagnostics_of(self._driver, judgement, clock.now_ns())
        self._endpoints.publish(DIAGNOSTICS, to_event(replace(event, hardware_id=self._port)))
        compared = self._clocks.report(clock)
        self._endpoints.publish(DIAGNOSTICS, to_event(compared))
        self._say(self._clocks.news)

    def _on_report(self, message: Any) -> None:
        """Compare the clock of whoever reports with the arm's, and take what forbids arming."""
        if not message.status:
            return
        status = message.status[0]
        self._clocks.hear(status.name, stamp_of(message), graph_clock().now_ns())
        if any(value.key == NO_ARMING for value in status.values):
            self._objections.take(from_message(message), time.monotonic())


def main() -> int:
    """Run the hardware node."""
    return run(HardwareNode, loop=lambda node, spinner: node.drive(spinner))


if __name__ == "__main__":
    sys.exit(main())
