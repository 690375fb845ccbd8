#!/bin/sh
# Says in one line why the wheels cannot be used here, and where to go instead.
system=$(uname -s)
machine=$(uname -m)
if [ "$system" = Linux ] && [ "$machine" = x86_64 ]; then
  exit 0
fi
echo "so101: ROS 2 wheels exist for Linux x86_64 only, this is $system $machine:" \
  "use a ROS distribution instead, see docs/guides/ros_install.md" >&2
exit 1
