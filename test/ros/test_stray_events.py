"""Whatever somebody says on a node's topics of events, the node goes on and says what it dropped.

The nodes are real; their callbacks are given the bytes in turn, so that nothing has to be found.
"""

import itertools

import pytest

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message

from intervention_node.node import InterventionNode
from learner_node.node import LearnerNode
from marker_node.node import MarkerNode
from motion_node.node import MotionNode
from policy_node.node import PolicyNode
from reward_node.node import RewardNode
from simulation_node.node import SimulationNode
from so101.episode import ControlSource, EpisodeFacts, EpisodeState, Outcome
from so101.events import ControlEvent, EpisodeEvent, Event, LabelEvent, RewardEvent, encode
from so101.ros import endpoints
from so101.ros.convert import to_event
from so101.status_events import (
    CheckpointEvent,
    GroupRequest,
    LearnerStatus,
    PolicyInfo,
    RecorderStatus,
    SessionStatus,
)
from teleop_node.node import TeleopNode

WORDS = ("", "x" * 5000, "../..", "\x00", "None")
NUMBERS = (-1, 2**70, -(2**70), float("nan"), float("-inf"))
ARM = Event(stamp_ns=5, name="arm_state", message="armed", values={"reason": ""})


def episodes():
    """Every state of an episode, and its beginning for each source and one that nobody knows."""
    begun = itertools.product((EpisodeState.RUNNING,), ("teleop", "motion", "nobody"))
    for state, source in (*itertools.product(EpisodeState, ("policy",)), *begun):
        facts = EpisodeFacts(id="e", task="pick", source=source, start_pose="std")
        yield EpisodeEvent(stamp_ns=5, state=state, facts=facts).to_event()


GOOD = {
    "episode": tuple(episodes()),
    "control_source": tuple(
        ControlEvent(stamp_ns=5, source=source).to_event() for source in ControlSource
    ),
    "reward": (
        RewardEvent(stamp_ns=5, reward=0.0, success_probability=0.0, terminated=True).to_event(),
    ),
    "label": (
        LabelEvent(
            stamp_ns=5, episode="e", rater="me", outcome=Outcome.SUCCESS.value, advantage=1.0
        ).to_event(),
    ),
    "policy/info": (PolicyInfo(stamp_ns=5, checkpoint="a" * 64).to_event(),),
    "policy/checkpoint": (
        CheckpointEvent(stamp_ns=5, path="/nowhere", sha256="a" * 64, role="candidate").to_event(),
    ),
    "recorder/status": (RecorderStatus(stamp_ns=5, episode="e", state="saved").to_event(),),
    "learner/status": tuple(
        LearnerStatus(stamp_ns=5, phase=phase, group=group).to_event()
        for phase in ("idle", "training", "trained", "failed", "taken back")
        for group in (-1, 0)
    ),
    "learner/request": (GroupRequest(stamp_ns=5, group=0, checkpoint="a" * 64).to_event(),),
    "session/status": (SessionStatus(stamp_ns=5, phase="demonstrations").to_event(),),
    "arm/state": (ARM,),
    "diagnostics": (Event(stamp_ns=5, name="servos", values={"no episode": "hot"}),),
}


def strays(good):
    """Yield an event, and it with each of its values changed in turn to what nobody expects."""
    yield good
    for word in WORDS:
        yield Event(stamp_ns=5, name=word, message=good.message, values=good.values)
        yield Event(stamp_ns=5, name=good.name, message=word, values=good.values)
    for key in good.values:
        values = {other: value for other, value in good.values.items() if other != key}
        yield Event(stamp_ns=5, name=good.name, message=good.message, values=values)
    for key, value in itertools.product(good.values, (*WORDS, *NUMBERS, [], {}, True)):
        text = value if isinstance(value, str) else encode(value)
        yield Event(
            stamp_ns=5, name=good.name, message=good.message, values={**good.values, key: text}
        )


class Heard:
    """Stands for a subscription, and keeps what would be called."""

    callbacks: dict

    def __init__(self, node, topic, callback, **_):
        if topic.name in GOOD:
            self.callbacks.setdefault(topic.name, []).append(callback)


def simulated(node):
    node._cell.tick()
    assert node._cell.is_still  # else no reset is due
    node._may_pass()
    node._try_reset()


def learned(node):
    if node._group is not None:
        request, node._group = node._group, None
        node._learn(request, type("Spinner", (), {"is_stopped": False, "drain": lambda _: None})())


NODES = {
    InterventionNode: ({}, None),
    MarkerNode: ({}, None),
    MotionNode: ({}, None),
    PolicyNode: ({"cameras": [""], "uses_objects": True}, lambda node: node._on_poll()),
    RewardNode: ({}, lambda node: (node._on_poll(), node._on_ratings(), node._on_watch())),
    SimulationNode: ({"cameras": [""]}, simulated),
    TeleopNode: ({}, None),
    LearnerNode: ({"store": "store", "checkpoints": "checkpoints"}, learned),
}


@pytest.mark.parametrize("kind", NODES, ids=lambda kind: kind.__name__)
def test_no_event_ends_a_node(kind, make_node, monkeypatch, tmp_path):
    monkeypatch.setattr(endpoints, "Listener", Heard)
    monkeypatch.setattr(Heard, "callbacks", {}, raising=False)
    monkeypatch.chdir(tmp_path)
    values, work = NODES[kind]
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = make_node("n", lambda _, **kwargs: kind(**kwargs, parameter_overrides=overrides))
    assert "episode" in Heard.callbacks or kind is RewardNode, list(Heard.callbacks)
    for topic, callbacks in Heard.callbacks.items():
        for stray in itertools.chain.from_iterable(map(strays, GOOD[topic])):
            data = bytes(serialize_message(to_event(stray)))
            for callback in callbacks:
                callback(data)
            if work is not None:
                work(node)
    unread = {topic for topic in Heard.callbacks if topic != "diagnostics"}
    assert set(node._endpoints.dropped) >= unread
