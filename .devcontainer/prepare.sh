#!/bin/bash
# Builds the workspace around the checkout, once: docs/guides/ros_install.md, step by step.
set -euo pipefail
cd /so101_ws
set +u
source "/opt/ros/$ROS_DISTRO/setup.bash"
set -u
apt-get update
rosdep update --rosdistro "$ROS_DISTRO"
rosdep install --rosdistro "$ROS_DISTRO" --from-paths src --ignore-src -y
python3 -m venv --system-site-packages .venv
touch .venv/COLCON_IGNORE
.venv/bin/pip install -r src/so101_bringup/requirements/run.in "numpy<2" \
  pytest pytest-timeout hypothesis yourdfpy
.venv/bin/python -m colcon build --symlink-install
echo "source /opt/ros/$ROS_DISTRO/setup.bash; source /so101_ws/install/setup.bash" >> ~/.bashrc
