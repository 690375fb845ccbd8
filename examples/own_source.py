"""A source of your own in place of teleop_node: the arm sways. Plain rclpy, nothing of so101.

so101 up --state --teleop joy --elsewhere teleop_node
python examples/own_source.py
so101 call intervention/take_over
"""

import math
from contextlib import suppress

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

WIDE, PERIOD = 0.3, 4.0  # rad, s
STEP = 0.015  # rad: nobody gets control further than 0.02 from where the arm is


class OwnSource(Node):
    """Wants the first joint to sway, at every tick; the arbiter decides."""

    def __init__(self) -> None:
        """Offer what the arbiter hears, and follow what the arm is told."""
        super().__init__("own_source")
        self.wish = self.create_publisher(JointTrajectory, "teleop/joint_trajectory", 100)
        self.alive = self.create_publisher(Header, "teleop/alive", 100)
        self.roll = self.create_publisher(DiagnosticArray, "diagnostics", 100)
        self.create_subscription(JointState, "joint_commands", self.on_command, 100)
        self.create_timer(0.5, self.answer_roll)

    def on_command(self, now: JointState) -> None:
        """Say that I live, and where I want the arm in two ticks; it rests two ticks later."""
        time = now.header.stamp.sec + now.header.stamp.nanosec * 1e-9
        goal = list(now.position)
        away = WIDE * math.sin(2.0 * math.pi * time / PERIOD) - goal[0]
        goal[0] += max(-STEP, min(STEP, away))
        due = [Duration(seconds=ticks / 60).to_msg() for ticks in (2, 4)]
        points = [JointTrajectoryPoint(positions=goal, time_from_start=when) for when in due]
        header = Header(stamp=now.header.stamp, frame_id="own_source")  # who speaks
        self.wish.publish(JointTrajectory(header=header, joint_names=now.name, points=points))
        self.alive.publish(Header(stamp=now.header.stamp))  # a frame_id would say why I cannot act

    def answer_roll(self) -> None:
        """Stand in for teleop_node: a session waits for everybody that it knows of."""
        here = DiagnosticStatus(name="teleop_node", message="alive")
        self.roll.publish(DiagnosticArray(status=[here]))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt, ExternalShutdownException), rclpy.init():
        rclpy.spin(OwnSource())
