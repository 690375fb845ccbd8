"""A small run whose figures were worked out by hand, as values and as files."""

from pathlib import Path

import pytest
from contracts.policy_factories import make_policy
from factories import make_bag

from so101.data.bags.custom_data import PUBLISHED, facts_to_text
from so101.episode import EpisodeFacts, Outcome
from so101.episode_plan import EpisodePlan
from so101.groups.gate import Verdict
from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101.policies.checkpoints.roles import promote
from so101_bringup.report.values import Attempt, Ending, Run, Trained

PLAN = EpisodePlan(seed=3)
SHAS = {name: f"{i}" * 64 for i, name in enumerate(("sft", "rejected", "promoted"), 1)}
OUTCOMES = {
    Ending.SUCCESS: (Outcome.SUCCESS, ""),
    Ending.FAILURE: (Outcome.FAILURE, "dropped"),
    Ending.OVER_TIME: (Outcome.TRUNCATED, "time limit: not lifted"),
}
S, F, T = Ending.SUCCESS, Ending.FAILURE, Ending.OVER_TIME
GROUPS = (
    ((6.0, S), (8.0, S), (12.0, T)),
    ((4.0, S), (6.0, S), (3.0, F)),
    ((4.0, S), (5.0, S), (5.0, S)),
)
BEFORE = ((6.0, S), (8.0, S), (12.0, T))
AFTER = ((4.2, S), (4.9, S), (5.6, S))
REJECTED = Verdict(is_accepted=False, reasons=("0.30 s slower",), evidence={"poses": 40})
PROMOTED = Verdict(
    is_accepted=True,
    evidence={
        "poses": 40,
        "successes": 39,
        "successes_acting": 38,
        "successes_supervised": 37,
        "time_until_done_s": 4.75,
        "duration_ratio": 0.875,
        "median_success_duration_s": 4.5,
    },
)
CURVE = ((50, 0.2), (100, 0.1))


def attempt(facts: EpisodeFacts, duration_s: float, ending: Ending) -> Attempt:
    return Attempt(facts=facts, duration_s=duration_s, ending=ending)


def rollouts(shas=SHAS):
    acting = ("sft", "sft", "promoted")
    return tuple(
        attempt(PLAN.rollout(g, i, checkpoint=shas[acting[g]], speed=1.0 + 0.1 * i), *ended)
        for g, group in enumerate(GROUPS)
        for i, ended in enumerate(group)
    )


def evaluation(checkpoint, ends):
    return tuple(attempt(PLAN.trial(i, checkpoint), *ended) for i, ended in enumerate(ends))


def checkpoints():
    return (
        Trained(name="sft/step_000100", sha256=SHAS["sft"], algorithm="sft", loss_curve=CURVE),
        Trained(
            name="group-00/step_000300",
            sha256=SHAS["rejected"],
            algorithm="group_reinforce",
            group=0,
            verdict=REJECTED,
            loss_curve=CURVE,
            parent=SHAS["sft"],
        ),
        Trained(
            name="group-01/step_000300",
            sha256=SHAS["promoted"],
            algorithm="group_reinforce",
            group=1,
            verdict=PROMOTED,
            loss_curve=CURVE,
            parent=SHAS["sft"],
            is_promoted=True,
        ),
    )


@pytest.fixture
def run() -> Run:
    evaluated = {"sft": BEFORE, "promoted": AFTER}
    return Run(
        name="run",
        rollouts=rollouts(),
        evaluations={SHAS[n][:8]: evaluation(SHAS[n], ends) for n, ends in evaluated.items()},
        checkpoints=checkpoints(),
    )


class Recorder:
    """Writes episodes as the recorder node would, only shorter."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.count = 0

    def record(self, one: Attempt, **custom: str) -> Path:
        outcome, reason = OUTCOMES[one.ending]
        self.count += 1
        return make_bag(
            directory=self.root / "episodes" / f"20260102-{self.count:06d}-{one.facts.id}",
            cameras=(),
            objects=0,
            steps=1,
            outcome=outcome,
            episode=one.facts.id,
            custom_data={
                **facts_to_text(one.facts),
                "reason": reason,
                f"{PUBLISHED}reward": str(round(one.duration_s * 30) + 1),
                **custom,
            },
        )


@pytest.fixture
def recorder(tmp_path) -> Recorder:
    return Recorder(tmp_path / "run")


@pytest.fixture(scope="session")
def recorded_run(tmp_path_factory) -> Path:
    """The same run as files; not to be written to."""
    recorder = Recorder(tmp_path_factory.mktemp("report") / "run")
    root = recorder.root / "checkpoints"
    shas = {}
    for number, one in enumerate(checkpoints()):
        gate = None if one.verdict is None else {"group": one.group, **one.verdict.to_mapping()}
        record = TrainingRecord(
            algorithm=one.algorithm,
            step=int(one.name[-6:]),
            loss_curve=one.loss_curve,
            parent=shas.get("sft", "") if one.parent else "",
            gate=gate,
        )
        name = one.name.split("/")[0]
        saved = save_checkpoint(root, name, make_policy(seed=number), record)
        shas[next(key for key in SHAS if SHAS[key] == one.sha256)] = saved.sha256
    promote(root, saved.path)
    recorder.record(attempt(PLAN.demonstration(0), 7.0, S))
    for one in (
        *rollouts(shas),
        *evaluation(shas["sft"], BEFORE),
        *evaluation(shas["promoted"], AFTER),
    ):
        recorder.record(one)
    return recorder.root
