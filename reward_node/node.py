"""Reward node: runs the session, rates every tick, and publishes episodes and rewards.

Carries messages between the graph and the pure parts: the conductor, the session, the episode
machine and the rater. It commands no motion.
"""

import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.node import Node

from reward_node.arm_modes import ABLE
from reward_node.conductor import Conductor
from reward_node.outputs import Call, Limits
from reward_node.params import RewardParams
from reward_node.ratings import Ratings
from reward_node.reset_watch import PersonResets, ResetWatch
from reward_node.session import Session
from reward_node.session_plan import instruction_of
from reward_node.silence import Silence
from reward_node.watchdog import Wait, Watchdog
from so101.clock import POLICY_GRID
from so101.control.arm_mode import mode_named
from so101.episode import EpisodeState, Outcome
from so101.errors import BagError, SessionError
from so101.events import EpisodeEvent, LabelEvent, RewardEvent, from_message
from so101.objections import NO_EPISODE, Objections
from so101.rewards.person_rater import PersonRater
from so101.rewards.pick_rater import PickRater
from so101.ros.convert import to_number, to_text
from so101.ros.endpoints import Endpoints
from so101.ros.health import Health, Roll
from so101.ros.interfaces import interface_class
from so101.ros.observing import observe
from so101.ros.params import declare
from so101.ros.run import run
from so101.ros.timing import repeat
from so101.services import SERVICES
from so101.simulation.tasks.table import start_of
from so101.status_events import (
    GroupRequest,
    LearnerStatus,
    PolicyInfo,
    RecorderStatus,
    SessionStatus,
)
from so101.streams import ObservationBuilder, ObservationConfig, Waiting
from so101.topics import (
    ARM_STATE,
    DIAGNOSTICS,
    EPISODE,
    JOINT_STATES,
    LABEL,
    LEARNER_REQUEST,
    LEARNER_STATUS,
    OBJECTS,
    POLICY_INFO,
    RECORDER_STATUS,
    REWARD,
    REWARD_VALUE,
    SESSION_STATUS,
    TASK,
)

POLL_PERIOD_S = 0.2
RATINGS_PERIOD_S = 1.0
WATCH_PERIOD_S = 1.0
NEEDED = ("learner/train", "learner/promote", "arm/arm")


class RewardNode(Node):
    """Conducts the session."""

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters, count what the store holds and create the interfaces."""
        super().__init__("reward_node", **kwargs)
        self._params = params = declare(self, RewardParams)
        self._ratings = Ratings(Path(params.store) if params.store else None)
        session = Session(params.session, self._ratings.read(), params.checkpoint)
        limits = Limits(policy_s=params.time_limit, teleop_s=params.teleop_time_limit)
        self._conductor = Conductor(
            session,
            PickRater() if params.has_objects else PersonRater(),
            start_of,
            limits,
            has_recorder=params.has_recorder,
            resets=ResetWatch() if params.has_objects else PersonResets(),
        )
        config = ObservationConfig(uses_objects=params.has_objects, is_lock_step=params.lockstep)
        self._watchdog = Watchdog(params.wait_bound)
        self._builder = ObservationBuilder(config)
        self._next_tick_ns: int | None = None
        self._newest_ns = 0
        self._was_complete = False
        self._silence = Silence(params.patience, time.monotonic())
        self._is_asked_to_arm = not params.arms_itself
        self._is_armed: bool | None = None  # the arm has not been heard
        self._calls: dict[str, Any] = {}
        self._endpoints = endpoints = Endpoints(self)
        endpoints.offer(EPISODE, TASK, REWARD, REWARD_VALUE, LEARNER_REQUEST, SESSION_STATUS)
        endpoints.hear(POLICY_INFO, PolicyInfo, self._on_policy)
        endpoints.hear(LEARNER_STATUS, LearnerStatus, self._on_learner)
        endpoints.hear(RECORDER_STATUS, RecorderStatus, self._on_recorder)
        endpoints.hear(LABEL, LabelEvent, self._ratings.take)
        endpoints.listen(ARM_STATE, self._on_arm_state)
        observe(endpoints, config, self._feed)
        self._serve()
        self._callers: dict[str, Any] = {
            name: self.create_client(interface_class(SERVICES[name].type), name) for name in NEEDED
        }
        endpoints.publish(TASK, to_text(instruction_of(params.session)))
        self._roll = Roll((*params.peers, self.get_name()) if params.peers else ())
        self._objections = Objections(NO_EPISODE, params.report_silence, is_silence_one=True)
        endpoints.listen(DIAGNOSTICS, self._on_report)
        Health(self, endpoints)
        repeat(self, POLL_PERIOD_S, self._on_poll)
        repeat(self, RATINGS_PERIOD_S, self._on_ratings)
        repeat(self, WATCH_PERIOD_S, self._on_watch)

    def _serve(self) -> None:
        endpoints = self._endpoints
        endpoints.trigger("episode/start", self._on_start)
        for name, outcome in (
            ("success", Outcome.SUCCESS),
            ("failure", Outcome.FAILURE),
            ("discard", Outcome.DISCARDED),
            ("redo", Outcome.DISCARDED),
        ):
            endpoints.trigger(f"episode/{name}", partial(self._on_end, outcome))
        endpoints.switch("session/pause", self._on_pause)

    def _feed(self, topic: str, value: Any, stamp_ns: int, arrival_ns: int) -> None:
        self._builder.feed(topic, value, stamp_ns, arrival_ns)
        if topic not in (JOINT_STATES.name, OBJECTS.name):
            return
        self._newest_ns = max(self._newest_ns, stamp_ns)
        self._silence.on_sample(time.monotonic())
        if self._next_tick_ns is None:
            self._next_tick_ns = POLICY_GRID.stamp(POLICY_GRID.ceil(stamp_ns))
        self._look()

    def _look(self) -> None:
        """Hand every complete policy tick to the conductor, in order."""
        while self._next_tick_ns is not None and self._next_tick_ns <= self._newest_ns:
            tick_ns = self._next_tick_ns
            if self._builder.pending(tick_ns) is not None:
                return
            self._next_tick_ns = POLICY_GRID.stamp(POLICY_GRID.floor(tick_ns) + 1)
            built = self._builder.build(tick_ns)
            if not isinstance(built, Waiting):  # else a stream began later than another
                self._conductor.on_observation(built)
                self._send()

    def _on_poll(self) -> None:
        now_s = time.monotonic()
        self._conductor.session.obstacle = self._objections.words(now_s)
        if self._conductor.machine.is_busy and self._silence.is_too_long(now_s):
            self._conductor.on_silence(self._newest_ns)
            self._send()
        if not self._is_everybody_here():
            return
        self._arm()
        # a robot whose time stands still has nothing to say before a reset
        if self._is_armed and self._silence.may_ask(now_s):
            self._conductor.poll(self._newest_ns)
        self._send()

    def _is_everybody_here(self) -> bool:
        if self._was_complete:
            return True
        if self._roll.is_complete:
            self._was_complete = True
            self._silence.on_sample(time.monotonic())
            return True
        self.get_logger().info(f"waiting: {self._roll.missing()}", throttle_duration_sec=5.0)
        return False

    def _arm(self) -> None:
        """Arm the arm once, as soon as it listens; after that it is a person's business."""
        if not self._is_asked_to_arm:
            self._call("arm/arm")
            self._is_asked_to_arm = "arm/arm" in self._calls

    def _send(self) -> None:
        for output in self._conductor.take():
            if isinstance(output, EpisodeEvent):
                self._endpoints.tell(EPISODE, output)
                self._silence.on_told(output.state, time.monotonic())
                self._report(output)
            elif isinstance(output, RewardEvent):
                self._endpoints.tell(REWARD, output)
                self._endpoints.publish(REWARD_VALUE, to_number(output.reward))
            elif isinstance(output, GroupRequest):
                self._endpoints.tell(LEARNER_REQUEST, output)
            elif isinstance(output, Call):
                self._call(output.service)

    def _report(self, event: EpisodeEvent) -> None:
        if event.state.is_end or event.state is EpisodeState.IDLE:
            self.get_logger().info(f"{event.facts.id}: {event.state.value} {event.reason}".strip())

    def _call(self, name: str) -> None:
        client = self._callers[name]
        if not client.service_is_ready():
            self.get_logger().info(f"waiting for {name}", once=True)
            return
        request = interface_class(SERVICES[name].type).Request()
        if hasattr(request, "data"):
            request.data = True
        self._calls[name] = client.call_async(request)
        self._calls[name].add_done_callback(lambda future: self._on_answer(name, future))

    def _on_answer(self, name: str, future: Any) -> None:
        answer = future.result()
        if name == "learner/promote":
            self._conductor.learner.on_promoted()
        if answer is not None and not answer.success:
            self.get_logger().error(f"{name} was refused: {answer.message}")
            if name == "arm/arm":  # the arm's own mode says what is to be done, and is waited for
                return
            self._conductor.session.stop(f"{name} was refused: {answer.message}")

    def _on_ratings(self) -> None:
        for problem in self._ratings.write(self._conductor.unsaved):
            self.get_logger().error(problem)
        if self._conductor.session.unrated:
            self._conductor.session.on_said(self._ratings.read())

    def _on_watch(self) -> None:
        """Say what is waited for once it takes long; nothing else comes of it."""
        missing = "" if self._was_complete else self._roll.missing()
        wait = Wait(what=f"other nodes: {missing}") if missing else self._conductor.wait
        words = self._watchdog.look(wait, time.monotonic())
        if words is None:
            return
        phase = self._conductor.session.phase.value
        status = SessionStatus(stamp_ns=self._newest_ns, phase=phase, waiting=words)
        self._endpoints.tell(SESSION_STATUS, status)
        self.get_logger().warning(f"waiting {words}" if words else "going on")

    def _on_report(self, message: Any) -> None:
        self._roll.on_diagnostics(message)
        with suppress(BagError):  # somebody else's diagnostics
            self._objections.take(from_message(message), time.monotonic())

    def _on_policy(self, info: PolicyInfo) -> None:
        had_one = self._conductor.running_checkpoint
        if bool(info.checkpoint) != bool(had_one):  # perhaps of a new process, yet to find others
            self._was_complete = False
            self._roll.begin_anew()
        self._conductor.on_policy(info, self._newest_ns)
        self._send()

    def _on_learner(self, status: LearnerStatus) -> None:
        self._conductor.on_learner(status)
        self._on_poll()

    def _on_recorder(self, status: RecorderStatus) -> None:
        self._conductor.on_recorder(status)
        self._on_poll()

    def _on_arm_state(self, message: Any) -> None:
        event = from_message(message)
        mode = mode_named(event.message).value
        self._is_armed = mode in ABLE
        self._conductor.on_arm(mode, event.values.get("reason", ""), self._newest_ns)
        self._send()

    def _on_start(self) -> str:
        if self._is_armed is None:  # it may be disarmed, and would cut the episode
            raise SessionError(f"{ARM_STATE.name}: the arm has not been heard yet")
        episode = self._conductor.start_manually(
            self._newest_ns, "policy", POLICY_GRID.floor(self._newest_ns) % 1_000_000
        )
        self._send()
        return episode

    def _on_end(self, outcome: Outcome) -> str:
        self._conductor.end(outcome, self._newest_ns, "operator")
        self._send()
        return outcome.value

    def _on_pause(self, is_paused: bool) -> str:
        self._conductor.session.is_paused = is_paused
        return "paused after this episode" if is_paused else "going on"


def main() -> int:
    """Run the reward node."""
    return run(RewardNode)


if __name__ == "__main__":
    sys.exit(main())
