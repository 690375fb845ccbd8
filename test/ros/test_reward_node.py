"""The reward node among messages: whom it waits for before the arm may move."""

import pytest

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter

from reward_node.node import RewardNode
from reward_node.requests import Phase
from reward_node.watchdog import Watchdog
from so101.errors import SessionError
from so101.events import Event
from so101.objections import NO_EPISODE
from so101.ros.convert import to_event
from so101.ros.endpoints import Endpoints
from so101.ros.spin import Spinner, wait_for_matched
from so101.status_events import PolicyInfo, SessionStatus
from so101.topics import ARM_STATE, DIAGNOSTICS, POLICY_INFO, SESSION_STATUS

PEER = "policy_node"


class Policy:
    """The only peer: it reports when it is told to, and it has an arm."""

    def __init__(self, node, reward_node):
        self.armed, self.refusal = [], ""
        self.reward_node = reward_node
        self.endpoints = Endpoints(node)
        self.endpoints.offer(ARM_STATE, DIAGNOSTICS, POLICY_INFO)
        self.told = []
        self.endpoints.hear(SESSION_STATUS, SessionStatus, self.told.append)
        self.endpoints.switch("arm/arm", self._on_arm)
        self.spinner = Spinner(reward_node, node)
        wait_for_matched(self.spinner, self.endpoints._publishers.values())

    def _on_arm(self, value):
        self.armed.append(value)
        if self.refusal:
            raise SessionError(self.refusal)
        return "armed"

    def objects(self, words):
        """Say what speaks against an episode, as an arm or a camera does."""
        event = Event(stamp_ns=1, name="servos", values={NO_EPISODE: words})
        self.endpoints.publish(DIAGNOSTICS, to_event(event))

    def is_heard_as(self, mode):
        """Say the arm's mode, and be heard."""
        event = Event(stamp_ns=1, name="arm_state", message=mode, values={"reason": ""})
        self.endpoints.publish(ARM_STATE, to_event(event))
        known = self.reward_node._is_armed
        return self.spinner.spin_until(lambda: self.reward_node._is_armed is not known, 20.0)

    def reports(self):
        self.endpoints.publish(DIAGNOSTICS, to_event(Event(stamp_ns=1, name=PEER, values={})))

    def says(self, checkpoint):
        """Say something, and be heard."""
        word = f"a server, {self.reward_node.get_clock().now().nanoseconds}"
        info = PolicyInfo(stamp_ns=0, checkpoint=checkpoint, waiting_for=word)
        self.endpoints.tell(POLICY_INFO, info)
        conductor = self.reward_node._conductor
        assert self.spinner.spin_until(lambda: conductor._policy_says == word, 20.0)

    def is_missed(self):
        """Tell whether its next report is waited for."""
        return PEER in self.reward_node._roll.missing()

    def is_found(self):
        self.reports()
        return self.spinner.spin_until(lambda: not self.is_missed(), 20.0)


@pytest.fixture
def policy(ros_context, make_node):
    node = RewardNode(
        context=ros_context,
        use_global_arguments=False,
        parameter_overrides=[Parameter("peers", value=[PEER])],
    )
    policy = Policy(make_node(PEER), node)
    yield policy
    policy.spinner.close()
    node.destroy_node()


def test_a_policy_that_only_repeats_what_it_waits_for_keeps_nobody_waiting(policy):
    """Without its server it says so once a second: nobody has to report anew each time."""
    policy.says("")
    assert policy.is_found()
    policy.says("")
    policy.says("")
    assert not policy.is_missed()
    assert policy.spinner.spin_until(lambda: policy.armed == [True], 20.0)


@pytest.mark.parametrize(("before", "after"), [("a" * 64, ""), ("", "a" * 64)])
def test_where_a_checkpoint_comes_or_goes_everybody_has_to_be_found_anew(policy, before, after):
    """Another process may be behind it, and what is published before it is found is lost."""
    policy.says(before)
    assert policy.is_found()
    policy.says(after)
    assert policy.is_missed()
    assert policy.is_found()


def test_no_episode_begins_before_the_arm_was_heard(policy):
    """It may be disarmed: the episode would be cut as soon as it says so."""
    assert policy.is_found()
    with pytest.raises(SessionError, match=ARM_STATE.name):
        policy.reward_node._on_start()
    assert policy.is_heard_as("armed")
    with pytest.raises(SessionError, match="the session runs by itself"):
        policy.reward_node._on_start()


def test_what_speaks_against_an_episode_is_said_at_once_and_so_is_its_end(policy):
    hot = "elbow_flex: temperature reached 61 °C; going on below 55 °C"

    def is_said(words):
        return policy.told and words in policy.told[-1].waiting

    assert policy.is_found()
    assert policy.is_heard_as("armed")
    end = policy.spinner.spin_until
    for _ in range(20):  # its word lasts for some seconds, and the node looks once a second
        policy.objects(hot)
        if end(lambda: is_said(hot), 1.0):
            break
    assert is_said(hot)
    with pytest.raises(SessionError, match="elbow_flex"):
        policy.reward_node._on_start()
    policy.objects("")
    assert end(lambda: policy.told[-1].waiting == "", 20.0)


def test_an_arm_that_was_stopped_before_the_session_armed_it_is_waited_for(policy):
    policy.refusal = "arm: cannot arm while estopped; recover it first"
    policy.reward_node._watchdog = Watchdog(0.0)
    assert policy.is_heard_as("estopped")
    assert policy.is_found()
    until, session = policy.spinner.spin_until, policy.reward_node._conductor.session
    assert until(lambda: policy.armed == [True], 20.0)
    wanted = "the arm is estopped; call arm/recover, then arm/arm"
    assert until(lambda: any(wanted in word.waiting for word in policy.told), 20.0)
    assert session.phase is Phase.DEMONSTRATIONS
    assert policy.is_heard_as("holding")  # a person has recovered and armed it
    assert until(lambda: session.next() is None, 20.0)  # it has asked for its first episode
    assert policy.armed == [True]
