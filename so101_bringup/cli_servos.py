"""The verb that stands in for a robot: servo-twin, servos without an arm. No ROS."""

import argparse
import signal
from pathlib import Path
from typing import Any


def add_verbs(verbs: Any) -> None:
    """Add the verb to the parser."""
    twin = verbs.add_parser(
        "servo-twin",
        help="simulated servos on a serial port, for drivers",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Six simulated STS3215 servos of an SO-101 on a pseudo-terminal at 1 Mbaud.",
    )
    add = twin.add_argument
    add("--link", default="", metavar="PATH", help="a symbolic link that leads to the port")
    add("--leader", action="store_true", help="a leader arm as well, on a port of its own")
    add("--leader-link", default="", metavar="PATH", help="that of the leader's port")
    add("--pose", default="rest", metavar="NAME", help="where the arms stand at first (rest)")
    add("--uncalibrated", action="store_true", help="servos as they are shipped, but for the ids")
    add("--calibration", default="", metavar="FILE", help="write LeRobot's calibration there")
    add("--latency", type=float, default=1.0, metavar="MS", help="of the USB adapter (1)")
    add("--fault", action="append", default=[], metavar="COMMAND", help="at once; may be repeated")
    add("--seed", type=int, default=0, metavar="N", help="of noise and faults (0)")
    twin.set_defaults(run=_servo_twin)


def _servo_twin(arguments: argparse.Namespace) -> int:
    from so101.errors import ConfigError
    from so101.robot import so101
    from so101.simulation.servo_twin.assembly import Assembly
    from so101.simulation.servo_twin.process import (
        FOLLOWER,
        LEADER,
        ArmOptions,
        TwinProcess,
        print_line,
    )

    poses = so101().poses
    if arguments.pose not in poses:
        raise ConfigError(
            f"servo-twin: unknown pose {arguments.pose!r}; known: {', '.join(poses)}"
        )
    if not 0.0 <= arguments.latency <= 1000.0 or arguments.seed < 0:
        raise ConfigError("servo-twin: --latency is 0 to 1000 ms, --seed at least 0")
    assembly = Assembly(is_calibrated=not arguments.uncalibrated)
    if arguments.calibration:
        assembly.write_calibration(Path(arguments.calibration).expanduser())

    def options(link: str, seed: int) -> ArmOptions:
        return ArmOptions(
            positions=poses[arguments.pose],
            assembly=assembly,
            link=Path(link).expanduser().absolute() if link else None,
            adapter_ns=round(arguments.latency * 1e6),
            seed=seed,
        )

    arms = {FOLLOWER: options(arguments.link, arguments.seed)}
    if arguments.leader or arguments.leader_link:
        arms[LEADER] = options(arguments.leader_link, arguments.seed + 1)
    twin = TwinProcess(arms)
    for line in arguments.fault:
        answer = twin.run_command(line)
        if not answer.startswith("ok"):
            raise ConfigError(f"servo-twin: --fault {line!r}: {answer.removeprefix('error: ')}")
    signal.signal(signal.SIGTERM, lambda number, frame: twin.stop())
    for name, path in twin.paths.items():
        print_line(f"so101 servo-twin: {name} {arms[name].link or path}")
    print_line("so101 servo-twin: ready; commands on stdin, help lists them")
    twin.run()
    return 0
