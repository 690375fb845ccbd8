"""The real arm and its arbiter: a part of the robot.

    ros2 launch so101_bringup hardware.launch.py usb_port:=/dev/serial/by-id/... robot_id:=mine
    ros2 launch so101_bringup hardware.launch.py use_mock_hardware:=true launch_rviz:=true

With ``hardware_type`` ros2_control's controllers drive the arm; only ``topic`` has our safety gate
below them. ``--show-args`` lists every argument.
"""

from so101_bringup.launch_rendering import describe


def generate_launch_description():
    return describe("hardware")
