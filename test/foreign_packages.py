"""Stand-ins for packages that only a ROS distribution has, found by the ament index like them.

Each program says what it was started with and lives on until it is told to end, or is interrupted:
so launch itself can be watched starting, respawning and ending them.
"""

import json
import os
import sys
from pathlib import Path

PROGRAM = """#!{python}
import json, os, signal, sys, time
from pathlib import Path

signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
desk, name = Path({desk!r}), Path(sys.argv[0]).name
ros = sys.argv.index("--ros-args") if "--ros-args" in sys.argv else None
start = {{"argv": sys.argv[1:ros], "pid": os.getpid(), "node": "", "parameters": {{}}}}
if name != "spawner":
    import rclpy
    from rclpy.node import Node
    rclpy.init(args=sys.argv, signal_handler_options=rclpy.SignalHandlerOptions.NO)
    node = Node({name!r}, automatically_declare_parameters_from_overrides=True)
    start["node"] = node.get_fully_qualified_name()
    start["parameters"] = {{
        key: list(p.value) if hasattr(p.value, "tolist") else p.value
        for key, p in node.get_parameters_by_prefix("").items()
    }}
with open(desk / f"{{name}}.jsonl", "a") as log:
    log.write(json.dumps(start) + "\\n")
order = desk / f"{{name}}.end"
while not order.exists():
    time.sleep(0.02)
sys.exit(int(order.read_text()))
"""
"""With ``python``, ``desk`` (where its log and its orders are) and the node's ``name``."""

EXECUTABLES = {
    "robot_state_publisher": ("robot_state_publisher",),
    "joint_state_publisher_gui": ("joint_state_publisher_gui",),
    "tf2_ros": ("static_transform_publisher",),
    "rviz2": ("rviz2",),
    "joy": ("joy_node",),
    "rosbag2_transport": ("player",),
    "controller_manager": ("ros2_control_node", "spawner"),
    "mujoco_ros2_control": ("ros2_control_node",),
    "moveit_ros_move_group": ("move_group",),
    "ros_gz_sim": ("create",),
    "ros_gz_bridge": ("parameter_bridge",),
}
"""By package."""

OWN_NAMES = {"ros2_control_node": "controller_manager", "move_group": "move_group"}
"""What programs call themselves that are not named from outside."""


class Foreign:
    """A prefix with all of the packages, and what their programs said."""

    def __init__(self, folder):
        self.prefix, self._desk = Path(folder) / "prefix", Path(folder) / "desk"
        self._desk.mkdir()
        for package, names in EXECUTABLES.items():
            self._install(package, names)

    def _install(self, package, names):
        index = self.prefix / "share/ament_index/resource_index/packages"
        for folder in (index, self.prefix / "lib" / package, self.prefix / "share" / package):
            folder.mkdir(parents=True, exist_ok=True)
        (index / package).touch()
        for name in names:
            path = self.prefix / "lib" / package / name
            node = OWN_NAMES.get(name, name)
            text = PROGRAM.format(python=sys.executable, desk=str(self._desk), name=node)
            path.write_text(text)
            path.chmod(0o755)

    def path(self):
        """Return the ament prefixes with this one first."""
        return os.pathsep.join((str(self.prefix), os.environ["AMENT_PREFIX_PATH"]))

    def starts(self, executable):
        """Return what every start of a program said, in order."""
        path = self._desk / f"{executable}.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def end(self, executable, code=0):
        """Tell a program to end with an exit code, now and at every start from now on."""
        order = self._desk / f"{executable}.new"
        order.write_text(str(code))
        order.replace(self._desk / f"{executable}.end")

    def go_on(self, executable):
        """Take the order back."""
        (self._desk / f"{executable}.end").unlink()
