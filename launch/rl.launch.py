"""The main job: demonstrations, fine-tuning from the bags, evaluation, groups of rollouts.

    ros2 launch so101_bringup rl.launch.py robot:=sim

``--show-args`` lists every argument. It ends with the session: exit code 0 when that is done or
Ctrl-C ended it, 1 when it ended before its goal or a node failed. The same graph runs without
launch as ``so101 rl``.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("rl")
