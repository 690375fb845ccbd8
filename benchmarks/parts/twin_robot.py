"""A follower and a leader arm of servo twins, and the nodes that drive them, for benchmarks."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from parts.children import Children

from so101.arrays import FloatArray
from so101.episode import ControlSource
from so101.errors import SessionError
from so101.events import ControlEvent
from so101.robot import JOINTS, so101
from so101.ros.client import GraphClient
from so101.topics import CONTROL_SOURCE
from so101_bringup.environment import clean_environment

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
MOST_TRIES = 10
LET_GO_RAD = 0.15
"""So far the hand moves the leader to have it let go [rad]."""


def environment(domain: int) -> dict[str, str]:
    """Return the variables of a process of the benchmark's graph."""
    paths = os.pathsep.join((str(ROOT), str(ROOT / "benchmarks")))
    return {
        **clean_environment(os.environ),
        "PYTHONPATH": paths,
        "OMP_NUM_THREADS": "1",
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }


def ros_arguments(params: dict[str, Any]) -> list[str]:
    """Return parameters as a node's command line has them."""
    pairs = ((name, json.dumps(value)) for name, value in params.items())
    return ["--ros-args", *(text for pair in pairs for text in ("-p", "{}:={}".format(*pair)))]


class Robot:
    """Two arms on pseudo-terminals, and hands that move the leader.

    Attributes:
        follower: The follower's port.
        leader: The leader's port.
        calibration: Of both.
    """

    def __init__(self, children: Children, folder: Path) -> None:
        """Start the twin; a hand holds the follower at home until `arm`, for loose it falls."""
        self.follower, self.leader = folder / "follower", folder / "leader"
        self.calibration = folder / "arm.json"
        options = {
            "--link": self.follower,
            "--leader-link": self.leader,
            "--calibration": self.calibration,
            "--pose": "home",
        }
        words = [str(word) for pair in options.items() for word in pair]
        self.process = children.start(
            [sys.executable, "-m", "so101_bringup.cli", "servo-twin", *words],
            environment=environment(0),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        while "ready" not in self._line():
            pass
        for joint, at in zip(JOINTS, so101().home, strict=True):
            self.ask(f"hand {joint} {at}")

    @property
    def driver_params(self) -> dict[str, Any]:
        """Parameters of hardware_node."""
        return {
            "port": str(self.follower),
            "calibration": str(self.calibration),
            "write_eeprom": True,
            "rest_speed": 1.0,
        }

    @property
    def teleop_params(self) -> dict[str, Any]:
        """Parameters of teleop_node."""
        return {
            "device": "leader",
            "lockstep": False,
            "leader.port": str(self.leader),
            "leader.calibration": str(self.calibration),
            "leader.drive_speed": 1.5,
        }

    def ask(self, line: str) -> str:
        """Carry out a command of the twin and return what it says."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        answer = self._line()
        if not answer.startswith("ok"):
            raise SystemExit(f"servo twin: {line}: {answer}")
        return answer.removeprefix("ok").strip()

    def state(self, arm: str = "follower") -> dict[str, Any]:
        """Return what is true of an arm."""
        state: dict[str, Any] = json.loads(self.ask(f"{arm} state"))
        return state

    def arm(self, client: GraphClient) -> None:
        """Arm the follower and let go of it."""
        call(client, "arm/arm", True)
        self.ask("release")

    def take_in_hand(self, client: GraphClient) -> None:
        """Wait for the leader at the follower's pose, and move it until it is followed.

        The hand goes on holding every joint. Where a busy machine lost the leader meanwhile, the
        hand lets go and it is tried again.
        """
        for _ in range(MOST_TRIES):
            until(self._is_aligned, "the leader comes to the follower's pose")
            for joint, at in zip(JOINTS, self._positions("leader"), strict=True):
                self.ask(f"leader hand {joint} {at}")
            turned = float(self._positions("leader")[0]) + LET_GO_RAD
            self.ask(f"leader hand shoulder_pan {turned} 0.5")
            try:
                client.wait_for(CONTROL_SOURCE, ControlEvent, _is_teleop, timeout_s=3.0)
            except SessionError:
                self.ask("leader release")
            else:
                return
        raise SystemExit("the leader was lost again and again: is the machine busy?")

    def wave(self) -> None:
        """Let the hand move pan, roll and jaw of the leader to and fro, for ever.

        So the follower comes near nothing, and the gate has nothing to hold back.
        """
        for joint, radians, hertz in (
            ("shoulder_pan", 0.4, 0.5),
            ("gripper", 0.1, 0.7),
            ("wrist_roll", 0.4, 0.6),
        ):
            self.ask(f"leader wave {joint} {radians} {hertz}")

    def _positions(self, arm: str) -> FloatArray:
        return np.array(self.state(arm)["positions"])

    def _is_aligned(self) -> bool:
        leader = self.state("leader")
        off = np.abs(self._positions("follower") - np.array(leader["positions"])).max()
        is_still = np.abs(leader["velocities"]).max() < 0.02
        return all(leader["torque"]) and off < 0.06 and bool(is_still)

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the servo twin has ended")
        return line


def call(client: GraphClient, service: str, value: bool | None = None) -> None:
    """Call a service until it does what is asked: nodes need a moment to find each other."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            client.call(service, value)
            return
        except SessionError as error:
            if time.monotonic() > end_s:
                raise SystemExit(f"{service}: {error}") from error
            time.sleep(0.5)


def _is_teleop(event: ControlEvent) -> bool:
    return event.source is ControlSource.TELEOP


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something is so, or end the benchmark with words."""
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > end_s:
            raise SystemExit(f"{what}: not within {PATIENCE_S:.0f} s")
        time.sleep(0.1)
