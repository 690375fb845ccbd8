"""Whoever teleoperates: a part of the robot, which runs beside it.

    ros2 launch so101_bringup teleop.launch.py robot:=sim teleop:=joy launch_joy:=true

Give it the arguments that the arm was started with. ``--show-args`` lists every argument.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("teleop")
