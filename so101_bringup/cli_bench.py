"""The verb that compares learning algorithms: bench-learn."""

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

DEFAULT_CONFIG = "bench_learn.yaml"


def add_verbs(verbs: Any) -> None:
    """Add the verb to the parser."""
    bench = verbs.add_parser("bench-learn", help="compare learning algorithms over seeds, no ROS")
    bench.add_argument(
        "--contenders", nargs="+", default=["group_reinforce"], metavar="NAME", help="which"
    )
    bench.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="N")
    bench.add_argument("--config", default="", metavar="FILE", help="settings of the study")
    bench.add_argument("--out", required=True, metavar="FILE", help="results; goes on from it")
    bench.add_argument("--figure", default="", metavar="FILE", help="draw it there")
    bench.add_argument("--jobs", type=int, default=2, metavar="N", help="seeds side by side (2)")
    bench.set_defaults(run=_bench)


def _bench(arguments: argparse.Namespace) -> int:
    from learner_node.algorithm_table import ALGORITHMS
    from learner_node.contenders import CONTENDERS, builder_of
    from learner_node.study import StudyConfig
    from learner_node.study_report import draw, lines
    from so101.config import from_mapping, load_yaml
    from so101.errors import ConfigError
    from so101_bringup.paths import shared_path

    unknown = [name for name in arguments.contenders if builder_of(name) is None]
    if unknown or arguments.jobs < 1 or min(arguments.seeds) < 0:
        raise ConfigError(
            f"bench-learn: contenders are {', '.join({**CONTENDERS, **ALGORITHMS})}; seeds are at "
            f"least 0, jobs at least 1; got {unknown or arguments.seeds}, {arguments.jobs}"
        )
    path = Path(arguments.config) if arguments.config else shared_path("config", DEFAULT_CONFIG)
    config = from_mapping(StudyConfig, load_yaml(path), str(path))
    out = Path(arguments.out).expanduser().absolute()
    results = [one for one in read_results(out) if one["config_sha"] == config.sha256]
    missing = missing_runs(results, arguments.seeds, arguments.contenders)
    print(f"so101 bench-learn: {path}, {len(results)} results kept, seeds to run: {list(missing)}")
    os.environ["OMP_NUM_THREADS"] = "1"  # seeds run side by side, one core each
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(run_seed, config, seed, names) for seed, names in missing.items()]
        for job in as_completed(jobs):
            results = sorted([*results, *job.result()], key=lambda one: one["seed"])
            write_results(out, results)
    for line in lines(results):
        print(line)
    if arguments.figure:
        draw(results, Path(arguments.figure).expanduser())
    return 0


def missing_runs(
    results: Sequence[Any], seeds: Sequence[int], contenders: Sequence[str]
) -> dict[int, list[str]]:
    """Return which contenders still have to run, by seed."""
    done = {(one["seed"], one["contender"]) for one in results}
    missing = {s: [name for name in contenders if (s, name) not in done] for s in seeds}
    return {seed: names for seed, names in missing.items() if names}


def run_seed(config: Any, seed: int, contenders: Sequence[str]) -> list[dict[str, Any]]:
    """Run contenders from one start, in a process of its own."""
    from learner_node.study import contend, make_arena, prepare
    from so101.policies.threads import use_one_thread

    use_one_thread()
    arena = make_arena(config, seed)
    try:
        prepared = prepare(config, arena, _say)
        return [contend(config, name, prepared, arena, _say) for name in contenders]
    finally:
        arena.close()


def read_results(path: Path) -> list[dict[str, Any]]:
    """Return the results in a file, none when there is no file.

    Raises:
        ConfigError: The file is no list of results.
    """
    from so101.errors import ConfigError

    if not path.exists():
        return []
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        for one in results:
            _ = one["seed"], one["contender"], one["config_sha"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path}: no list of results: {error!r}") from error
    return list(results)


def write_results(path: Path, results: Sequence[Any]) -> None:
    """Write results so that a kill leaves the old or the new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def _say(text: str) -> None:
    print(text, flush=True)
