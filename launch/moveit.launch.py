"""MoveIt's move_group beside a running robot.

    ros2 launch so101_bringup moveit.launch.py launch_rviz:=true

It plans; the arm moves through its arbiter. ``--show-args`` lists every argument.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("moveit")
