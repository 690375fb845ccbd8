"""Expensive sessions, run once and looked at by many tests."""

from pathlib import Path
from typing import NamedTuple

import pytest
from integration import graphs
from integration.bystander import Bystander

SEED = 3
DEMONSTRATIONS = 6
EVALUATIONS = 2
TIME_LIMIT_S = 3.0
STEPS = 150
START = "small"


class Job(NamedTuple):
    """A finished run of a graph, its store, and the options that repeat it.

    And the bag of a stranger who recorded it, too, where there was one.
    """

    run: graphs.Run
    store: Path
    options: dict
    theirs: Path | None = None


@pytest.fixture(scope="session")
def record_job(tmp_path_factory):
    """A session that only recorded, with somebody beside it who recorded all topics."""
    store = tmp_path_factory.mktemp("record")
    options = {"seed": SEED, "start": START, "demonstrations": DEMONSTRATIONS}
    with graphs.running("record", store, **options) as graph:
        bystander = Bystander(graph.domain, store.with_name("ep1") / "ep1")
        try:
            run = graph.wait()
        finally:
            theirs = bystander.stop()
        assert graph.pids() == []
    return Job(run, store, options, theirs)


@pytest.fixture(scope="session")
def rl_job(tmp_path_factory):
    """The whole main job in small: few demonstrations, little training, few evaluations."""
    store = tmp_path_factory.mktemp("rl")
    params = graphs.write_params(
        store / "params.yaml",
        learner_node={"steps": STEPS},
        reward_node={"time_limit": TIME_LIMIT_S, "session": {"target_success": 0.0}},
    )
    options = {
        "seed": SEED,
        "start": START,
        "demonstrations": DEMONSTRATIONS,
        "evaluation_episodes": EVALUATIONS,
        "groups": 0,
        "params_file": params,
    }
    return Job(graphs.run("rl", store, **options), store, options)
