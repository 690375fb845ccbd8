"""The simulated arm and its arbiter: a part of the robot.

    ros2 launch so101_bringup sim.launch.py launch_rviz:=true

The other parts (teleop, motion, policy, learner) start beside it, from files of their own or all
at once with ``up.launch.py``. ``--show-args`` lists every argument.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("sim")
