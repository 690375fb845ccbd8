"""The learner: a part of the robot, which may run on another machine.

    ros2 launch so101_bringup learner.launch.py store:=/shared/runs/rl

It reads the bags and writes the checkpoints in ``store``, which both machines must see;
``rl.launch.py elsewhere:=learner_node`` is the rest of it. ``--show-args`` lists every argument.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("learner")
