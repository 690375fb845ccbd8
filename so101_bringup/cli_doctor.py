"""The verb that looks for what is wrong before an evening: doctor. It changes nothing."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so101_bringup.cli_common import DEFAULT_STORE, add_json, local_path, print_json

if TYPE_CHECKING:
    from so101_bringup.doctor.rounds import Rounds


def add_verbs(verbs: Any) -> None:
    """Add the verb to the parser."""
    text = "what is wrong with this computer or arm, and what to do"
    doctor = verbs.add_parser("doctor", help=text, description=text)
    add = doctor.add_argument
    add("--port", default="", metavar="DEVICE", help="look at the servos there, too")
    add("--arm", choices=("follower", "leader"), default="follower", help="which (follower)")
    add("--id", default="", metavar="NAME", help="look at this arm's calibration")
    add("--params-file", default="", metavar="FILE", help="watch the cameras that it names")
    add("--gpu", action="store_true", help="ask torch for the graphics card; takes seconds")
    add("--checkpoint", default="", metavar="DIR", help="does it fit, is it quick enough?")
    add("--simulation", action="store_true", help="an arm that holds still must not succeed")
    add("--graph", action="store_true", help="does the policy of the running graph keep up?")
    add("--namespace", default="", help="of that graph's robot")
    add(
        "--store",
        default="",
        metavar="DIR",
        help=f"look through its episodes; room is looked for there or in {DEFAULT_STORE}",
    )
    add_json(doctor)
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from so101_bringup.doctor.finding import exit_code
    from so101_bringup.doctor.rounds import make_rounds

    findings = []
    for finding in make_rounds(_rounds(arguments)):
        findings.append(finding)
        if not arguments.json:
            print(finding)
    if arguments.json:
        print_json([finding.to_mapping() for finding in findings])
    return exit_code(findings)


def _rounds(arguments: argparse.Namespace) -> "Rounds":
    from so101_bringup.doctor.rounds import Rounds

    store = local_path(arguments.store, "doctor", is_new=True) if arguments.store else None
    checkpoint = Path(arguments.checkpoint).expanduser() if arguments.checkpoint else None
    return Rounds(
        disk=store or Path(DEFAULT_STORE),
        port=arguments.port,
        arm=arguments.arm,
        robot_id=arguments.id,
        params_file=arguments.params_file,
        store=store,
        checkpoint=checkpoint,
        gpu=arguments.gpu,
        simulation=arguments.simulation,
        graph=arguments.graph,
        namespace=arguments.namespace,
    )
