"""The nodes of `benchmarks/leader_latency.py`, each in a process that notes what happens when.

    python leader_roles.py ROLE FILE [ROS arguments]

Moments are of the steady clock, of which the stamps on a real robot are as well.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from so101.ros.endpoints import Endpoints
from so101.ros.run import run
from so101.topics import ARM_TRAJECTORY, JOINT_COMMANDS, TELEOP_TRAJECTORY

Notes = dict[str, list[list[Any]]]


def drive(notes: Notes) -> Callable[[], Any]:
    """Note when trajectories arrive, and each tick's goal once it is on the bus."""
    from hardware_node.arm import ServoArm
    from hardware_node.driver import Driver
    from hardware_node.node import HardwareNode
    from so101.control.arm_loop import ArmLoop

    follow, write, tick = Driver.follow, ServoArm.write_goal, ArmLoop.tick
    newest: dict[str, Any] = {"followed": 0, "stamp": 0}

    def followed(self: Any, trajectory: Any) -> None:
        follow(self, trajectory)
        newest["followed"] = trajectory.stamp_ns
        _add(notes, "followed", trajectory.stamp_ns, time.monotonic_ns())

    def ticked(self: Any, stamp_ns: int) -> Any:
        newest["stamp"] = stamp_ns
        return tick(self, stamp_ns)

    def written(self: Any, positions: Any) -> Any:
        follows, began = newest["followed"], time.monotonic_ns()
        goal = write(self, positions)
        row = (newest["stamp"], follows, began, time.monotonic_ns(), goal.tolist())
        _add(notes, "written", *row)
        return goal

    _replace(Driver, follow=followed)
    _replace(ArmLoop, tick=ticked)
    _replace(ServoArm, write_goal=written)
    return HardwareNode


def lead(notes: Notes) -> Callable[[], Any]:
    """Note every reading of the leader, and when its trajectory was published."""
    from so101.servos.leader_servos import ServoLeader
    from teleop_node.node import TeleopNode

    read, hear = ServoLeader.read, TeleopNode._on_command

    def noted(self: Any) -> Any:
        began = time.monotonic_ns()
        positions = read(self)
        _add(notes, "read", began, time.monotonic_ns(), positions.tolist())
        return positions

    def heard(self: Any, message: Any) -> None:
        _add(notes, "heard", JOINT_COMMANDS.name, time.monotonic_ns())
        hear(self, message)

    _replace(ServoLeader, read=noted)
    _replace(TeleopNode, _on_command=heard)
    _note_commands(notes, TELEOP_TRAJECTORY)
    return TeleopNode


def arbitrate(notes: Notes) -> Callable[[], Any]:
    """Note what the arbiter passes on."""
    from intervention_node.intervention import Intervention
    from intervention_node.node import InterventionNode

    offer = Intervention.offer

    def offered(self: Any, source: Any, trajectory: Any) -> Any:
        _add(notes, "heard", trajectory.stamp_ns, time.monotonic_ns())
        return offer(self, source, trajectory)

    _replace(Intervention, offer=offered)
    _note_commands(notes, ARM_TRAJECTORY)
    return InterventionNode


ROLES: dict[str, Callable[[Notes], Callable[[], Any]]] = {
    "drive": drive,
    "arbitrate": arbitrate,
    "lead": lead,
}


def _add(notes: Notes, name: str, *values: Any) -> None:
    notes.setdefault(name, []).append(list(values))


def _replace(kind: Any, **methods: Any) -> None:
    for name, method in methods.items():
        setattr(kind, name, method)


def _note_commands(notes: Notes, topic: Any) -> None:
    command = Endpoints.command

    def noted(self: Any, to: Any, trajectory: Any) -> None:
        command(self, to, trajectory)
        if to == topic:
            _add(notes, "told", trajectory.stamp_ns, time.monotonic_ns())

    _replace(Endpoints, command=noted)


def main() -> int:
    """Run a role until it is ended, then write its notes."""
    role, file, *arguments = sys.argv[1:]
    notes: Notes = {}
    make = ROLES[role](notes)

    def loop(node: Any, spinner: Any) -> None:
        node.drive(spinner) if role == "drive" else spinner.spin()

    try:
        return run(make, ["bench", *arguments], loop=loop)
    finally:
        Path(file).write_text(json.dumps(notes), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
