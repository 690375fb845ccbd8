"""Who brings the arm home: a part of the robot, which runs beside it.

    ros2 launch so101_bringup motion.launch.py robot:=sim

``ros2 service call /motion/home std_srvs/srv/Trigger`` moves the arm. ``--show-args`` lists every
argument.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("motion")
