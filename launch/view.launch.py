"""RViz with the robot: one that runs elsewhere, or sliders.

    ros2 launch so101_bringup view.launch.py gui:=true

It ends when the window is closed. ``--show-args`` lists every argument.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("view")
