"""Plays an episode or any other bag, with the transforms that bags lack.

    ros2 launch so101_bringup replay.launch.py bag:=runs/rl/episodes/... launch_rviz:=true

It plays in the namespace ``replay`` unless another is named, so that a running arm hears nothing
of it. ``--show-args`` lists every argument.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("replay")
