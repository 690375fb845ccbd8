"""The policy: a part of the robot, which may run on another machine.

    ros2 launch so101_bringup policy.launch.py robot:=sim checkpoint:=runs/rl/checkpoints/...

``up.launch.py elsewhere:=policy_node`` is the rest of it. ``learning_python`` is the interpreter
of an environment with torch. ``--show-args`` lists every argument.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("policy")
