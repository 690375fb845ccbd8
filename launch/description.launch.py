"""The robot's URDF on ``robot_description`` and its transforms.

    ros2 launch so101_bringup description.launch.py

It follows ``joint_states``; ``gui:=true`` shows sliders in their place, on a topic of its own.
``--show-args`` lists every argument.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("description")
