#!/bin/bash
# Gives every command of the container the distribution and this workspace.
set -e
source "/opt/ros/$ROS_DISTRO/setup.bash"
source /so101_ws/install/setup.bash
exec "$@"
