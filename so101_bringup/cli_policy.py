"""Verbs that train and try policies without a running graph: eval, train, playback."""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so101_bringup.cli_common import (
    add_real,
    add_server,
    add_store,
    open_store,
    real_options,
    select_one,
    server_options,
)

if TYPE_CHECKING:
    from so101.evaluation import Evaluation, EvaluationConfig


def add_verbs(verbs: Any) -> None:
    """Add the verbs to the parser."""
    _add_evaluate(verbs)
    _add_train(verbs)
    _add_playback(verbs)


def _add_evaluate(verbs: Any) -> None:
    evaluate = verbs.add_parser("eval", help="how often and how fast a checkpoint succeeds")
    evaluate.add_argument("checkpoint", metavar="CHECKPOINT", help="its directory, or a run's")
    evaluate.add_argument("--episodes", type=int, default=20, metavar="N", help="how many (20)")
    evaluate.add_argument("--seed", type=int, default=0, help="seed of starts and noise (0)")
    evaluate.add_argument("--start", default="std", help="start region: small, std, wide (std)")
    evaluate.add_argument(
        "--latency", type=float, default=0.0, metavar="S", help="simulated, per inference [s] (0)"
    )
    evaluate.add_argument(
        "--jitter", type=float, default=0.0, metavar="R", help="share of it, either way (0)"
    )
    evaluate.add_argument(
        "--schedule", default="async", metavar="NAME", help="sync, async, rtc, ensemble (async)"
    )
    evaluate.add_argument("--ros", action="store_true", help="through the nodes, with bags")
    add_server(evaluate)
    evaluate.add_argument("--store", default="", metavar="DIR", help="with --ros: keep the bags")
    evaluate.add_argument("--json", default="", metavar="FILE", help="write the result there")
    evaluate.add_argument("--verbose", action="store_true", help="show what the nodes print")
    add_real(evaluate)
    evaluate.add_argument(
        "--params-file", default="", metavar="FILE", help="your parameter file, for --ros"
    )
    evaluate.add_argument(
        "--instruction", default="", metavar="WORDS", help="with --ros: what a VLA is asked to do"
    )
    evaluate.set_defaults(run=_evaluate)


def _add_train(verbs: Any) -> None:
    train = verbs.add_parser("train", help="fine-tune on the recorded demonstrations, without ROS")
    train.add_argument("--store", default="", metavar="DIR", help="directory of the run")
    train.add_argument(
        "--episodes", default="", metavar="DIR|URL", help="learn from these, not the run's own"
    )
    train.add_argument("--cache", default="", metavar="DIR", help="where bags of a URL are kept")
    train.add_argument("--state", action="store_true", help="object poses instead of cameras")
    train.add_argument("--steps", type=int, default=0, metavar="N", help="training steps")
    train.add_argument("--seed", type=int, default=0, help="seed of weights and batches (0)")
    train.add_argument("--algorithm", default="sft", metavar="NAME", help="what trains (sft)")
    train.add_argument(
        "--base",
        default="",
        metavar="CHECKPOINT",
        help="fine-tune this; LeRobot's or a hub id too",
    )
    train.add_argument(
        "--tune", default="", metavar="MODE", help="what trains of the base: full, expert, lora"
    )
    train.add_argument("--device", default="cpu", help="where it trains, such as cuda (cpu)")
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another parameter of the learner, such as batch_size=4 or tuning.rank=8, or of how "
        "other recorders' bags are read, such as reader.namespace=left",
    )
    train.set_defaults(run=_train)


def _add_playback(verbs: Any) -> None:
    playback = verbs.add_parser("playback", help="replay a recorded episode on the simulated arm")
    playback.add_argument("episode", metavar="EPISODE", help="number, id, or path of a bag")
    add_store(playback)
    playback.set_defaults(run=_playback)


def _evaluate(arguments: argparse.Namespace) -> int:
    from so101.policies.checkpoints.copy import find_checkpoint
    from so101.policies.lerobot.files import is_hub_id

    named = Path(arguments.checkpoint).expanduser()
    path = find_checkpoint(named if is_hub_id(named) else named.absolute())
    config = _evaluation_config(arguments)
    print(f"so101 eval: {path}, {config.episodes} episodes, start {config.start}")
    if config.latency.mean_s or config.schedule != "async":
        share = config.latency.jitter
        print(f"schedule {config.schedule}, latency {config.latency.mean_s:g} s ± {share:.0%}")
    run = _evaluate_in_graph if arguments.ros else _evaluate_in_process
    evaluation = run(path, config, arguments)
    for trial in evaluation.trials:
        print(
            f"seed {trial.seed}  {trial.outcome.value:<9} {trial.duration_s:6.2f} s  {trial.kind}"
        )
    for line in evaluation.lines():
        print(line)
    if arguments.json:
        values = {
            "checkpoint": str(path),
            "start": config.start,
            "schedule": config.schedule,
            "latency_s": config.latency.mean_s,
            "jitter": config.latency.jitter,
            **evaluation.to_mapping(),
        }
        _write_json(Path(arguments.json).expanduser(), values)
    return 0


def _evaluation_config(arguments: argparse.Namespace) -> "EvaluationConfig":
    from so101.errors import ConfigError
    from so101.evaluation import EvaluationConfig
    from so101.simulation.latency import SimulatedLatency

    if arguments.ros and arguments.jitter:
        raise ConfigError("eval: --jitter is for roll-outs in process, not --ros")
    if real_options(arguments)["robot"] == "real" and not arguments.ros:
        raise ConfigError("eval: a real arm is moved by the nodes; add --ros")
    if arguments.server and not arguments.ros:
        raise ConfigError("eval: --server infers for the nodes; add --ros")
    if arguments.instruction and not arguments.ros:
        raise ConfigError("eval: --instruction is said by the nodes; add --ros")
    return EvaluationConfig(
        episodes=arguments.episodes,
        seed=arguments.seed,
        start=arguments.start,
        schedule=arguments.schedule,
        latency=SimulatedLatency(
            mean_s=arguments.latency, jitter=arguments.jitter, seed=arguments.seed
        ),
    )


def _evaluate_in_process(
    path: Path, config: "EvaluationConfig", arguments: argparse.Namespace
) -> "Evaluation":
    from so101.evaluation import evaluate
    from so101.policies.checkpoints.checkpoint import load_policy
    from so101.policies.checkpoints.files import verify
    from so101.robot import CAMERAS, JOINTS

    policy = load_policy(path, JOINTS, CAMERAS)
    return evaluate(policy, config, checkpoint=verify(path).sha256)


def _evaluate_in_graph(
    path: Path, config: "EvaluationConfig", arguments: argparse.Namespace
) -> "Evaluation":
    from so101.errors import SessionError
    from so101.policies.checkpoints.checkpoint import read_spec
    from so101.policies.checkpoints.files import verify
    from so101_bringup.paths import RunPaths
    from so101_bringup.policy_options import decision_ticks_of
    from so101_bringup.recorded_trials import recorded_evaluation
    from so101_bringup.run_job import options_of, run_job
    from so101_bringup.session_defaults import session_goals

    checkpoint, spec = verify(path), read_spec(path)
    with tempfile.TemporaryDirectory(prefix="so101-eval-") as temporary:
        store = arguments.store or temporary
        values = {
            "state": not spec.cameras,
            "params_file": arguments.params_file,
            "store": store,
            "seed": config.seed,
            "start": config.start,
            "instruction": arguments.instruction,
            "checkpoint": "" if arguments.server else str(path),
            "sha256": checkpoint.sha256,
            "evaluation_episodes": config.episodes,
            "simulated_latency": config.latency.mean_s,
            "schedule": config.schedule,
            **server_options(arguments),
        }
        if spec.cameras:
            values["cameras"] = spec.cameras
        options = options_of({**values, **real_options(arguments)})
        ticks = decision_ticks_of(options, spec.action_space)
        options = replace(options, decision_ticks=ticks)
        goals = session_goals(options)
        code = run_job("evaluate", options, goals, say=print, is_verbose=arguments.verbose)
        if code:
            raise SessionError(f"the evaluation did not end well (exit code {code})")
        episodes = RunPaths(root=Path(store).expanduser()).episodes
        return recorded_evaluation(episodes, config, checkpoint.sha256)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    from so101.data.durable import write_text

    write_text(path, json.dumps(values, indent=1) + "\n")
    print(f"written to {path}")


def _train(arguments: argparse.Namespace) -> int:
    from so101.data.stores.remote_files import is_url
    from so101.errors import ConfigError

    if is_url(arguments.store):
        raise ConfigError(
            f"train: --store is the directory of checkpoints; learn from {arguments.store} "
            "with --episodes"
        )
    from so101_bringup.train_job import train  # torch, which takes seconds

    if arguments.base and arguments.state:
        raise ConfigError("train: --base says what the policy sees; leave out --state")
    if arguments.tune and not arguments.base:
        raise ConfigError("train: --tune needs --base: new weights train as a whole")
    default = "runs/rl-state" if arguments.state else "runs/rl"
    return train(
        Path(arguments.store or default).expanduser().absolute(),
        is_state=arguments.state,
        steps=arguments.steps,
        seed=arguments.seed,
        say=print,
        others=_others(arguments),
        episodes=open_store(arguments.episodes, arguments.cache) if arguments.episodes else None,
    )


def _others(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the learner's parameters that options name, those of --set by their dotted names."""
    from so101.config import parse_yaml
    from so101.errors import ConfigError

    others: dict[str, Any] = {"algorithm": arguments.algorithm, "device": arguments.device}
    others |= {"base": arguments.base, "tuning": {"mode": arguments.tune}}
    for text in arguments.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"train: --set {text!r}: say NAME=VALUE, such as batch_size=4")
        *sections, key = name.split(".")
        place = others
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError(f"train: --set {text!r}: {section} has no parts")
        place[key] = parse_yaml(value, f"train: --set {name}")
    return others


def _playback(arguments: argparse.Namespace) -> int:
    from so101.data.stores.episode_store import EpisodeStore
    from so101.rewards.pick_rater import PickRater
    from so101.simulation.build import make_cell
    from so101.simulation.playback import play
    from so101_bringup.recorded_trials import recorded_motion

    path = Path(arguments.episode).expanduser()
    if not path.exists():
        store = open_store(arguments.store, arguments.cache)
        path = store.fetch(select_one(store, arguments.episode))
    entry = EpisodeStore(path).episodes()[0]
    found = play(recorded_motion(path), make_cell(cameras=()), PickRater())
    recorded = entry.outcome.value if entry.outcome else "unlabelled"
    reasons = f" ({', '.join(found.reasons)})" if found.reasons else ""
    print(f"so101 playback: {path}")
    print(f"replayed  {found.ticks} control ticks, {found.ticks / 60:.2f} s")
    print(
        f"arm       off by {found.max_error_rad:.2e} rad at most, {found.mean_error_rad:.2e} mean"
    )
    print(f"gate      changed the command at {found.changed_ticks} ticks{reasons}")
    again = "success" if found.is_success else found.kind
    print(f"outcome   recorded {recorded}, now {again}")
    return 0
