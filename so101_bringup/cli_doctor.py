"""The verb that looks for what is wrong before an evening: doctor. It changes nothing."""

import argparse
import importlib.util
import os
import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so101_bringup.cli_common import DEFAULT_STORE

if TYPE_CHECKING:
    from so101_bringup.doctor.finding import Finding


def add_verbs(verbs: Any) -> None:
    """Add the verb to the parser."""
    text = "what is wrong with this computer or arm, and what to do"
    doctor = verbs.add_parser("doctor", help=text, description=text)
    add = doctor.add_argument
    add("--port", default="", metavar="DEVICE", help="look at the servos there, too")
    add("--arm", choices=("follower", "leader"), default="follower", help="which (follower)")
    add("--id", default="", metavar="NAME", help="look at this arm's calibration")
    add("--store", default=DEFAULT_STORE, metavar="DIR", help=f"where bags go ({DEFAULT_STORE})")
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from so101_bringup.doctor.finding import exit_code

    findings = [*_computer(Path(arguments.store).expanduser()), *_arm(arguments)]
    for finding in findings:
        print(finding)
    return exit_code(findings)


def _computer(store: Path) -> list["Finding"]:
    from so101.servos.port import ports
    from so101.servos.port_users import port_users
    from so101.simulation.gl import find_backend
    from so101_bringup.doctor import computer

    nearest = next(path for path in (store.absolute(), *store.absolute().parents) if path.exists())
    return [
        computer.check_modules(lambda name: importlib.util.find_spec(name) is not None),
        computer.check_disk(str(store), shutil.disk_usage(nearest).free),
        computer.check_clock(time.time(), Path(__file__).stat().st_mtime),
        computer.check_ros(os.environ),
        computer.check_gl(find_backend()),
        *computer.check_ports(ports(), lambda one: os.access(one, os.R_OK | os.W_OK), port_users),
    ]


def _arm(arguments: argparse.Namespace) -> list["Finding"]:
    from so101.errors import HardwareError
    from so101.servos.calibration_files import calibration_root
    from so101_bringup.calibrate_job import IDS
    from so101_bringup.cli_calibrate import open_bus
    from so101_bringup.doctor.finding import Finding
    from so101_bringup.doctor.servos import check_file, check_servos

    found, calibration = [], None
    if arguments.id:
        root = calibration_root(os.environ, Path.home())
        finding, calibration = check_file(root, arguments.arm, arguments.id)
        found.append(finding)
    if arguments.port:
        try:
            with closing(open_bus(arguments.port)) as bus:
                ids = IDS if calibration is None else calibration.ids
                found += check_servos(bus, ids, calibration, arguments.arm)
        except HardwareError as error:
            found.append(Finding("servos", str(error), "free the port, or name another"))
    return found
