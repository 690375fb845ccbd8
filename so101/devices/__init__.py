"""What a person holds: gamepads, the keyboard, a leader arm. No ROS."""
