"""The robot with everything but the learner; its policy is a checkpoint, or on a server.

    ros2 launch so101_bringup up.launch.py robot:=sim server:=ws://gpu:8000

``--show-args`` lists every argument. Episodes are started by service. The same graph runs without
launch as ``so101 up``.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("up")
