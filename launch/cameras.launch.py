"""The real robot's cameras, one node each: a part of the robot.

    ros2 launch so101_bringup cameras.launch.py params_file:=mine.yaml

Which device a camera is stands in ``mine.yaml``, in the section ``<id>_camera``. ``--show-args``
lists every argument.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("cameras")
