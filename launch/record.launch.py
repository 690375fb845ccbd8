"""Records demonstrations as bags, one per episode.

    ros2 launch so101_bringup record.launch.py robot:=sim demonstrations:=20

``--show-args`` lists every argument. The same graph runs without launch as ``so101 record``.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("record")
