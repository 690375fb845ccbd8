"""A running episode keeps its policy, whatever is published, and the number alive is bounded."""

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from so101.errors import ConfigError
from so101.policies.checkpoints.live_versions import LiveVersions

ROBOTS = ("left", "right", "bench", "spare", "guest")
LIMIT = 3


@dataclass(frozen=True)
class Version:
    sha256: str


def version(number):
    return Version(sha256=f"{number:064d}")


class Serving(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.published = [version(0)]
        self.versions = LiveVersions(self.published[0], limit=LIMIT)
        self.runs = {}

    @rule()
    def publish(self):
        self.published.append(version(len(self.published)))
        acts = self.versions.publish(self.published[-1])
        assert acts == (self.versions.waiting is None)

    @rule(robot=st.sampled_from(ROBOTS))
    def begin(self, robot):
        self.runs[robot] = self.versions.begin(robot)
        assert self.runs[robot] is self.versions.newest

    @rule(robot=st.sampled_from(ROBOTS))
    def ask(self, robot):
        answered = self.versions.of(robot)
        assert answered is self.runs.setdefault(robot, answered)

    @rule(robot=st.sampled_from(ROBOTS))
    def leave(self, robot):
        self.runs.pop(robot, None)
        self.versions.leave(robot)

    @precondition(lambda self: self.runs)
    @rule()
    def all_begin_again(self):
        for robot in self.runs:
            self.runs[robot] = self.versions.begin(robot)
        # the first to begin may still find the bound kept by the others
        for robot in self.runs:
            self.runs[robot] = self.versions.begin(robot)
            assert self.runs[robot] is self.published[-1]

    @invariant()
    def an_episode_keeps_its_policy(self):
        for robot, one in self.runs.items():
            assert self.versions.of(robot) is one

    @invariant()
    def the_bound_is_kept_and_what_nobody_runs_is_let_go(self):
        alive = {one.sha256 for one in self.versions.alive}
        assert len(alive) <= LIMIT
        assert alive == {one.sha256 for one in (*self.runs.values(), self.versions.newest)}

    @invariant()
    def the_newest_acts_next_or_waits(self):
        assert self.published[-1] in (self.versions.newest, self.versions.waiting)


TestServing = Serving.TestCase


def test_one_version_is_too_few():
    with pytest.raises(ConfigError, match="limit 1, need at least 2"):
        LiveVersions(version(0), limit=1)
