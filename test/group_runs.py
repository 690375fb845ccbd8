"""The directory of a run with groups, filled by hand with short episodes instead of by nodes."""

import shutil
from dataclasses import replace
from pathlib import Path

import torch
from factories import make_episode, record_episode

from learner_node.fine_tuning import fine_tuning_job, open_job
from learner_node.group_planning import GroupSettings
from learner_node.group_update import GroupUpdate
from learner_node.params import GroupParams
from learner_node.planning import TrainingRequest
from learner_node.training import run
from so101.arrays import frozen
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import IndexLine
from so101.episode import Outcome
from so101.episode_plan import EpisodePlan
from so101.events import LabelEvent
from so101.groups.exploration import draw_speed
from so101.groups.gate import GateConfig
from so101.policies.checkpoints.checkpoint import load_policy
from so101.policies.checkpoints.files import verify
from so101.policies.checkpoints.roles import promote
from so101.robot import CAMERAS, JOINTS, so101
from so101.spec import PolicySpec
from so101.status_events import GroupRequest

SEED = 4
PLAN = EpisodePlan(seed=SEED, start="small")
SPEC = PolicySpec(uses_objects=True)
LIMIT_S = 1.5
HIGHEST = 1.5
STEPS = 6
ROLLOUTS = 3
SFT = TrainingRequest(
    spec=SPEC,
    steps=20,
    seed=SEED,
    settings={"batch_size": 8},
    policy={"width": 16, "depth": 1},
    dataset={"outcomes": ["success"]},
)
TICKS = (31, 37, 43)
"""Length of a group's rollouts; 30 ticks are a second."""


class FineGrip:
    """Stands for `PickSuccess`: random object poses tell nothing of a grip."""

    home = stable_grip = True

    def update(self, *_):
        return self


def episode(facts, ticks, outcome=Outcome.SUCCESS):
    """Return a short episode with these facts; its values follow from its seed."""
    idle = ((0, 12),)  # left out of what is trained on
    made = make_episode(steps=ticks, seed=facts.seed % 10_007, outcome=outcome, idle=idle)
    robot = so101()
    middle = (robot.lower + robot.upper) / 2  # a policy that leaves the limits is refused
    motion = {
        name: frozen(middle + 0.2 * getattr(made, name))
        for name in ("positions", "commands", "actions")
    }
    return replace(made, facts=facts, **motion)


def weights(policy):
    return torch.cat([item.detach().flatten() for item in policy.parameters()])


class GroupRun:
    """A store with demonstrations, the policy fine-tuned on them, and what is rolled out."""

    def __init__(self, root: Path) -> None:
        """Open a run; `begin` fills it."""
        self.root = root
        self.store = EpisodeStore(root / "episodes")
        self.checkpoints, self.jobs = root / "checkpoints", root / "jobs"

    def begin(self) -> "GroupRun":
        """Demonstrate, fine-tune and promote."""
        for number in range(3):
            self.record(episode(PLAN.demonstration(number), 40 + number))
        job = fine_tuning_job(SFT, self.store, self.checkpoints)
        supervised = run(open_job(self.jobs, job), self.store, self.checkpoints)
        promote(self.checkpoints, supervised.path)
        return self

    def copy(self, root: Path) -> "GroupRun":
        """Return the same run in another directory."""
        shutil.copytree(self.root, root)
        return GroupRun(root)

    @property
    def supervised(self):
        (path,) = self.checkpoints.glob("sft-*/step_*")
        return verify(path)

    @property
    def demonstrations(self):
        return [episode(PLAN.demonstration(number), 40 + number) for number in range(3)]

    def candidates(self):
        """Return what groups made, by the number of the group, then by name."""
        return [verify(path) for path in sorted(self.checkpoints.glob("group-*/step_*"))]

    def record(self, one):
        """Record an episode after all others, with its line in the store's index."""
        episodes = self.root / "episodes"
        number = len(list(episodes.glob("2026*")))
        path = record_episode(episodes / f"20260101-{number:06d}-{one.facts.id}", one)
        with (episodes / "index.jsonl").open("a") as index:
            index.write(IndexLine.of_bag(path).to_json() + "\n")
        return path

    def policy(self, checkpoint):
        return load_policy(checkpoint.path, JOINTS, CAMERAS)

    def roll_out(self, group, acting, ticks=TICKS, outcomes=None, again=""):
        """Record a group and return its episodes."""
        episodes = [
            episode(self.facts(group, number, acting, again), ticks[number], outcome)
            for number, outcome in enumerate(outcomes or [Outcome.SUCCESS] * len(ticks))
        ]
        for one in episodes:
            self.record(one)
        return episodes

    def facts(self, group, number, acting, again=""):
        speed = draw_speed(SEED, group, number, HIGHEST)
        facts = PLAN.rollout(group, number, checkpoint=acting.sha256, speed=speed)
        return replace(facts, id=facts.id + again)

    def request(self, group, acting, **values):
        return GroupRequest(
            stamp_ns=0,
            group=group,
            checkpoint=acting.sha256,
            highest_speed=HIGHEST,
            seed=SEED,
            start="small",
            time_limit_s=LIMIT_S,
            **{"rollouts": ROLLOUTS, **values},
        )

    def update(self, by="nothing", poses=2, **learning):
        """Return what learns, as after a restart."""
        return GroupUpdate(
            EpisodeStore(self.root / "episodes"),
            self.checkpoints,
            self.jobs,
            GroupSettings(learning=GroupParams(**{"steps": STEPS, **learning}), seed=SEED),
            GateConfig(by=by, poses=poses, margin=0.0),
        )

    def rate(self, name, advantage):
        self.store.add_label(
            LabelEvent(stamp_ns=1, episode=name, rater="somebody", advantage=advantage)
        )
