"""Verbs that run a graph of nodes or talk to a running one: rl, record, up, call, motion."""

import argparse
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from so101_bringup.cli_common import (
    add_real,
    add_server,
    calibration_file,
    names_of,
    real_options,
    server_options,
)
from so101_bringup.graph import GRAPHS, GraphOptions

BY_PERSON = (
    "so101 {verb}: `so101 call arm/arm` arms the arm, and it goes home: clear its way\n"
    "so101 {verb}: `so101 call episode/start` begins an episode once the scene is set up;\n"
    "so101 {verb}: `so101 call episode/success`, failure or redo ends it; Ctrl-C puts the arm down"
)

PLAIN_WORDS = frozenset({"arm/estop", "arm/arm"})
"""Services whose name alone is a command; whoever wants to stop an arm types no more than that."""

STORES = {"rl": "runs/rl", "record": "runs/rl", "up": "runs/rl"}


def add_verbs(verbs: Any) -> None:
    """Add the verbs to the parser."""
    _add_rl(verbs)
    _add_record(verbs)
    _add_up(verbs)
    _add_calls(verbs)


def _add_rl(verbs: Any) -> None:
    rl = verbs.add_parser("rl", help="demonstrations, training, evaluation, groups: main job")
    _add_common(rl)
    rl.add_argument("--episodes", default="", metavar="DIR", help="start from these bags")
    rl.add_argument("--demonstrations", type=int, default=0, help="demonstrations to collect")
    rl.add_argument("--evaluations", type=int, default=0, help="episodes of the evaluation")
    rl.add_argument(
        "--target",
        type=float,
        default=0.0,
        help="success below which it collects more (0.75; 0.9)",
    )
    rl.add_argument(
        "--groups", type=int, default=-1, help="groups of rollouts to learn from (5; 8)"
    )
    rl.add_argument("--rollouts", type=int, default=0, help="rollouts of a group (10)")
    rl.add_argument("--rule", default="gated", help="gated, median, zscore; manual: you rate")
    rl.add_argument(
        "--gate",
        default="poses",
        help="what judges a candidate: poses, next_group, nothing (poses)",
    )
    _add_policy(rl)
    rl.set_defaults(run=_run_rl)


def _add_record(verbs: Any) -> None:
    record = verbs.add_parser("record", help="record demonstrations as bags")
    _add_common(record)
    record.add_argument("--demonstrations", type=int, default=10, help="how many (10)")
    record.add_argument(
        "--continuous", action="store_true", help="one split bag of everything, not one each"
    )
    record.add_argument(
        "--images", default="compressed", help="frames: compressed, raw, both (compressed)"
    )
    add_real(record)
    record.set_defaults(run=_run_record)


def _add_up(verbs: Any) -> None:
    up = verbs.add_parser("up", help="the robot with everything but the learner")
    _add_common(up)
    up.add_argument("--checkpoint", default="", metavar="DIR", help="policy to run")
    _add_policy(up)
    add_real(up)
    up.set_defaults(run=_run_up)


def _add_calls(verbs: Any) -> None:
    motion = verbs.add_parser("motion", help="move the arm of a running graph")
    motion.add_argument("where", choices=("home",))
    _add_client(motion)
    motion.set_defaults(run=lambda a: _call(a, f"motion/{a.where}", None))
    call = verbs.add_parser("call", help="call a service of a running graph")
    call.add_argument("service", help="such as episode/start or arm/estop")
    call.add_argument(
        "value", nargs="?", choices=("true", "false"), help="true for arm/estop and arm/arm"
    )
    _add_client(call)
    call.set_defaults(
        run=lambda a: _call(a, a.service, None if a.value is None else a.value == "true")
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", action="store_true", help="object poses instead of cameras")
    parser.add_argument("--store", default="", metavar="DIR", help="directory of the run")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything drawn (0)")
    parser.add_argument(
        "--speed", type=float, default=0.0, help="simulated speed: 1 is real time, 0 lock-step (0)"
    )
    parser.add_argument(
        "--teleop", default="scripted", help="scripted, gamepad, joy, keyboard, leader (scripted)"
    )
    parser.add_argument("--leader-port", default="", metavar="PORT", help="of the leader arm")
    parser.add_argument(
        "--leader-calibration", default="", metavar="ID", help="of the leader arm, or its file"
    )
    parser.add_argument(
        "--instruction", default="", metavar="WORDS", help="what it is asked to do, for a VLA"
    )
    parser.add_argument("--start", default="std", help="start region: small, std, wide (std)")
    parser.add_argument("--namespace", default="", help="namespace of every name")
    parser.add_argument("--params-file", default="", metavar="FILE", help="your parameter file")
    parser.add_argument(
        "--elsewhere", default="", metavar="NODES", help="you start these, such as teleop_node"
    )
    parser.add_argument(
        "--upload-to", default="", metavar="URL", help="send every finished episode there"
    )
    parser.add_argument("--verbose", action="store_true", help="show what the nodes print")


def _add_policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--schedule", default="async", metavar="NAME", help="sync, async, rtc, ensemble (async)"
    )
    parser.add_argument(
        "--decision-ticks", type=int, default=0, metavar="N", help="of 1/30 s, chunk to chunk"
    )
    add_server(parser)


def _policy_options(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("schedule", "decision_ticks")
    return {**{name: getattr(arguments, name) for name in names}, **server_options(arguments)}


def _add_client(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--namespace", default="", help="namespace of the robot")


def _options(arguments: argparse.Namespace, **values: Any) -> GraphOptions:
    from so101_bringup.run_job import options_of

    default = STORES[arguments.verb] + ("-state" if arguments.state else "")
    options = options_of(
        {
            "robot": "sim",
            "state": arguments.state,
            "store": arguments.store or default,
            "seed": arguments.seed,
            "speed": arguments.speed,
            "instruction": arguments.instruction,
            "start": arguments.start,
            "teleop": arguments.teleop,
            "leader_port": arguments.leader_port,
            "leader_calibration": calibration_file("leader", arguments.leader_calibration),
            "namespace": arguments.namespace,
            "params_file": arguments.params_file,
            "elsewhere": names_of(arguments.elsewhere),
            **values,
        }
    )
    GRAPHS[arguments.verb](options)  # refuses what makes no graph before anything is said
    return options


def _run_rl(arguments: argparse.Namespace) -> int:
    from so101_bringup.session_defaults import session_goals

    options = _options(
        arguments,
        episodes=arguments.episodes,
        demonstrations=arguments.demonstrations,
        evaluation_episodes=arguments.evaluations,
        target_success=arguments.target,
        groups=arguments.groups,
        rollouts=arguments.rollouts,
        rule=arguments.rule,
        gate=arguments.gate,
        **_policy_options(arguments),
    )
    mode = (
        "object poses (state mode)" if options.state else f"cameras {', '.join(options.cameras)}"
    )
    print(f"so101 rl: simulated SO-101, {mode}, seed {options.seed}, store {options.store}")
    return _run_job(arguments, options, session_goals(options))


def _run_record(arguments: argparse.Namespace) -> int:
    options = _options(
        arguments,
        demonstrations=arguments.demonstrations,
        continuous=arguments.continuous,
        images=arguments.images,
        **real_options(arguments),
    )
    if options.robot == "real":
        print(BY_PERSON.format(verb="record"))
    goals = {"demonstrations": arguments.demonstrations}
    return _run_job(arguments, options, goals)


def _run_up(arguments: argparse.Namespace) -> int:
    options = _options(
        arguments,
        checkpoint=arguments.checkpoint,
        **_policy_options(arguments),
        **real_options(arguments),
    )
    if options.robot == "real":
        print("so101 up: the arm holds still until `so101 call arm/arm`; Ctrl-C puts it down")
        print("so101 up: `so101 call arm/estop` stops it; the switch of the supply does it surely")
        if options.checkpoint or options.server:
            print("so101 up: `so101 call episode/start` asks for an episode: the arm goes home;")
            print("so101 up: the same word again begins it once the scene is set up")
        return _run_job(arguments, options, {})
    print("so101 up: start an episode with `so101 call episode/start`; Ctrl-C ends")
    return _run_job(arguments, options, {})


def _run_job(
    arguments: argparse.Namespace, options: GraphOptions, goals: Mapping[str, int]
) -> int:
    from so101_bringup.run_job import run_job

    return run_job(
        arguments.verb,
        options,
        goals,
        say=print,
        is_verbose=arguments.verbose,
        upload_to=arguments.upload_to,
    )


def _call(arguments: argparse.Namespace, service: str, value: bool | None) -> int:
    from so101.errors import ConfigError
    from so101.services import SERVICES

    if service not in SERVICES:
        nearest = get_close_matches(service, SERVICES, n=1, cutoff=0.4)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(SERVICES)}"
        raise ConfigError(f"unknown service {service!r}; {hint}")
    from so101.ros.client import GraphClient

    if value is None and service in PLAIN_WORDS:
        value = True
    with GraphClient("so101_call", arguments.namespace) as client:
        print(client.call(service, value))
    return 0
