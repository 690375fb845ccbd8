"""The doctor's rounds: gathers what each check needs from this computer, part by part.

Findings are given out as they come. What takes long is imported and done only when asked for.
"""

import grp
import importlib.util
import os
import pwd
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from so101.errors import ConfigError, HardwareError
from so101.graph_clock import measured_anchor
from so101.robot import CAMERAS
from so101.servos.calibration_files import ArmKind
from so101_bringup.doctor.finding import Finding

if TYPE_CHECKING:
    from so101.servos.bus import ServoBus
    from so101.servos.calibration import Calibration
    from so101_bringup.doctor.ports import Adapter


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """What a person wants looked at.

    Attributes:
        disk: Where bags go.
        port: Device of the servos; empty for none.
        arm: Which arm that is.
        robot_id: Name of the arm's calibration; empty for none.
        params_file: The person's parameter file, with the cameras; empty for none.
        store: Directory of episodes to look through; None for none.
        checkpoint: Of a policy; None for none.
        gpu: Ask torch for the graphics card.
        simulation: Try the simulated task.
        graph: Listen to the graph that is running.
        namespace: Of its robot.
    """

    disk: Path
    port: str = ""
    arm: ArmKind = "follower"
    robot_id: str = ""
    params_file: str = ""
    store: Path | None = None
    checkpoint: Path | None = None
    gpu: bool = False
    simulation: bool = False
    graph: bool = False
    namespace: str = ""


def make_rounds(rounds: Rounds) -> Iterator[Finding]:
    """Yield what is found, in an order in which a person would mend it."""
    yield from _computer(rounds.disk)
    yield from _ports(rounds.port)
    yield from _arm(rounds)
    yield from _cameras(rounds.params_file)
    if rounds.gpu or rounds.checkpoint is not None:
        yield _gpu()
    if rounds.checkpoint is not None:
        yield from _checkpoint(rounds.checkpoint, rounds)
    if rounds.simulation or rounds.checkpoint is not None:
        yield _simulation()
    if rounds.graph:
        yield from _graph(rounds.namespace)
    if rounds.store is not None:
        yield from _store(rounds.store)


def _computer(disk: Path) -> Iterator[Finding]:
    from so101.simulation.gl import find_backend
    from so101_bringup.doctor import computer, graph_clocks

    nearest = next(path for path in (disk.absolute(), *disk.absolute().parents) if path.exists())
    yield computer.check_modules(lambda name: importlib.util.find_spec(name) is not None)
    yield computer.check_disk(str(disk), shutil.disk_usage(nearest).free)
    yield computer.check_clock(time.time(), Path(__file__).stat().st_mtime)
    running = graph_clocks.running_anchors()
    yield graph_clocks.check_graph_clocks(running, measured_anchor())
    yield computer.check_ros(os.environ)
    yield computer.check_gl(find_backend())


def _ports(named: str) -> Iterator[Finding]:
    from so101.servos.port import ports
    from so101_bringup.doctor import ports as checks

    found = ports()
    if os.path.exists(named) and os.path.realpath(named) not in map(os.path.realpath, found):
        found = (*found, named)  # of another kind than USB
    adapters = [_adapter(port) for port in found]
    yield from checks.check_ports(adapters, _groups())
    there = checks.INSTALLED.is_file()
    installed = checks.INSTALLED.read_text(encoding="utf-8") if there else None
    yield checks.check_rule(adapters, installed, checks.RULE.read_text(encoding="utf-8"))


def _adapter(port: str) -> "Adapter":
    from so101.servos.port_users import port_users
    from so101_bringup.doctor.ports import Adapter

    status = os.stat(port)
    may = status.st_mode & 0o060 == 0o060
    return Adapter(
        device=port,
        is_ours=os.access(port, os.R_OK | os.W_OK),
        group=_group_name(status.st_gid) if may and status.st_gid else "",
        users=port_users(port),
    )


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _groups() -> set[str]:
    """Return the groups that this user is entered in, whenever this session began."""
    try:
        user = pwd.getpwuid(os.getuid())
    except KeyError:
        return set()
    return {_group_name(one) for one in os.getgrouplist(user.pw_name, user.pw_gid)}


def _arm(rounds: Rounds) -> Iterator[Finding]:
    from so101.servos.calibration_files import calibration_root
    from so101_bringup.calibrate_job import IDS
    from so101_bringup.cli_calibrate import open_bus
    from so101_bringup.doctor.servos import check_file

    calibration = None
    if rounds.robot_id:
        root = calibration_root(os.environ, Path.home())
        finding, calibration = check_file(root, rounds.arm, rounds.robot_id)
        yield finding
    if rounds.port:
        ids = IDS if calibration is None else calibration.ids
        try:
            bus = open_bus(rounds.port)
        except HardwareError as error:
            yield Finding("servos", str(error), "free the port, or name another")
            return
        with closing(bus):
            yield from _servos(bus, ids, calibration, rounds.arm)


def _servos(
    bus: "ServoBus", ids: Sequence[int], calibration: "Calibration | None", kind: ArmKind
) -> list[Finding]:
    from hardware_node.boot import find
    from so101_bringup.doctor.servos import check_servos

    try:
        find(bus, ids)
    except HardwareError as error:
        advice = "look at power, cables and ids; two servos of one id: take one off the bus"
        return [Finding("servos", str(error), advice)]
    return check_servos(bus, ids, calibration, kind)


def _cameras(params_file: str) -> Iterator[Finding]:
    from camera_node.devices import stable_names
    from camera_node.kernel import LinuxKernel
    from so101_bringup.doctor.cameras import check_devices, look_around

    yield from check_devices(look_around(stable_names(), LinuxKernel()))
    if params_file:
        from so101_bringup.doctor.camera_file import named_cameras
        from so101_bringup.doctor.camera_rounds import watch_named

        try:
            named = named_cameras(Path(params_file).expanduser())
        except ConfigError as error:
            yield Finding("params file", str(error), "correct it: docs/guides/cameras.md")
            return
        yield from watch_named(named, params_file)


def _gpu() -> Finding:
    from so101_bringup.doctor.graphics import DRIVER, ask_torch, check_gpu

    lines = DRIVER.read_text().splitlines() if DRIVER.is_file() else []
    return check_gpu(ask_torch(), lines[0] if lines else "")


def _checkpoint(path: Path, rounds: Rounds) -> Iterator[Finding]:
    from so101_bringup.doctor.camera_file import named_cameras
    from so101_bringup.doctor.policy_rounds import look_at_policy

    cameras: tuple[str, ...] = CAMERAS
    try:
        if rounds.params_file:
            cameras = tuple(named_cameras(Path(rounds.params_file).expanduser())) or CAMERAS
    except ConfigError:  # said with the cameras
        pass
    yield from look_at_policy(path, cameras, is_real=bool(rounds.port))


def _simulation() -> Finding:
    from so101_bringup.doctor.null_policy import check_null, hold_still

    return check_null(hold_still())


def _graph(namespace: str) -> list[Finding]:
    from so101_bringup.doctor.live_rounds import look_at_graph

    return look_at_graph(namespace)


def _store(path: Path) -> Iterator[Finding]:
    from so101.data.stores.episode_store import EpisodeStore
    from so101_bringup.doctor.idle import check_idle, read_shares

    entries = EpisodeStore(path).episodes() if path.exists() else []
    yield from check_idle(*read_shares([entry.path for entry in entries]))
