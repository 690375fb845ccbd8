"""Policy node: observations in, joint trajectories out.

Owns the topics, the decision ticks and the swap of checkpoints between episodes. It never waits
for a network: inference has a thread of its own. Networks and checkpoints are in
``so101.policies``; who follows the trajectories is the arbiter's business.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from rclpy.node import Node

from policy_node.loader import CheckpointLoader, Loaded, Refused
from policy_node.params import PolicyParams
from policy_node.part import Part, PartConfig
from policy_node.succession import Succession
from policy_node.worker import Answer, InferenceWorker, Question
from so101.acting import ActingLoop
from so101.clock import POLICY_GRID, nanoseconds
from so101.decoding import EarlyDecoder
from so101.episode import ControlSource, EpisodeState
from so101.errors import SessionError, So101Error
from so101.events import ControlEvent, EpisodeEvent
from so101.policies.schedule_latency import LatencyEstimate
from so101.policies.threads import use_one_thread
from so101.ros.aux_tables import to_aux
from so101.ros.convert import to_header, to_joint_trajectory
from so101.ros.endpoints import Endpoints
from so101.ros.handover import Handover
from so101.ros.health import Health
from so101.ros.observing import observe
from so101.ros.params import declare
from so101.ros.run import run
from so101.status_events import CheckpointEvent, PolicyInfo
from so101.streams import ObservationConfig
from so101.topics import (
    CONTROL_SOURCE,
    EPISODE,
    POLICY_ALIVE,
    POLICY_CHECKPOINT,
    POLICY_INFO,
    POLICY_TRAJECTORY,
    aux_topic,
)

ALIVE_PERIOD_S = 0.03
POLL_PERIOD_S = 0.1
POLLS_PER_WORD = 10
"""An idle policy says once a second what it runs, until an episode begins: some come late."""


class PolicyNode(Node):
    """Acts in the episodes that name the policy as their source."""

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters and create the interfaces; checkpoints load in the background."""
        super().__init__("policy_node", **kwargs)
        use_one_thread()
        self._params = params = declare(self, PolicyParams)
        self._part_config = PartConfig(
            schedule=params.schedule,
            decision_ticks=params.decision_ticks,
            latency_ns=nanoseconds(params.latency),
            is_lock_step=params.lockstep,
            seed=params.seed,
        )
        self._loader = CheckpointLoader(params.cameras, self._part_config, params.aux)
        self._latency = self._new_latency()
        self._succession = Succession()
        self._worker = InferenceWorker(Handover(self, self._on_answers).ask)
        self._part: Part | None = None
        self._is_hung = False
        self._unheard_polls: int | None = None
        self._is_newcomer = True
        self._is_enabled = True
        self._newest_ns = 0
        config = ObservationConfig(
            cameras=params.cameras,
            uses_objects=params.uses_objects,
            task=params.task,
            is_lock_step=params.lockstep,
        )
        self._loop = ActingLoop(
            config,
            ControlSource.POLICY.value,
            params.decision_ticks,
            EarlyDecoder(params.cameras),
        )
        self._endpoints = endpoints = Endpoints(self)
        endpoints.offer(POLICY_TRAJECTORY, POLICY_ALIVE, POLICY_INFO)
        endpoints.offer(*(aux_topic(name) for name in params.aux))
        endpoints.hear(EPISODE, EpisodeEvent, self._on_episode)
        endpoints.hear(CONTROL_SOURCE, ControlEvent, self._on_control)
        endpoints.hear(POLICY_CHECKPOINT, CheckpointEvent, self._on_checkpoint)
        observe(endpoints, config, self._feed)
        endpoints.switch("policy/enable", self._on_enable)
        endpoints.trigger("policy/reload", self._on_reload)
        self.create_timer(ALIVE_PERIOD_S, self._on_alive)
        self.create_timer(POLL_PERIOD_S, self._on_poll)
        Health(self, endpoints)
        if params.checkpoint:
            self._announce(Path(params.checkpoint))

    @property
    def _live(self) -> Loaded | None:
        return self._succession.live

    def _on_checkpoint(self, event: CheckpointEvent) -> None:
        self._announce(Path(event.path), event.sha256)

    def _announce(self, path: Path, sha256: str = "") -> None:
        if self._succession.announce(path, sha256):
            self._loader.want(path, None if self._live is None else self._live.policy)

    def _on_poll(self) -> None:
        self._on_answers()
        answer = self._loader.take()
        if answer is None or not self._succession.is_wanted(answer):
            pass  # another one was announced meanwhile
        elif isinstance(answer, Refused):
            self.get_logger().error(f"checkpoint refused: {answer.problem}")
            self._inform(waiting_for=f"a better checkpoint: {answer.problem}")
        else:
            self._succession.line_up(answer)
        if self._loop.facts is None and (newcomer := self._succession.take_over()):
            self._loop.resize(newcomer.policy.spec.image_size)
            self._latency = self._new_latency()
            self.get_logger().info(f"running {newcomer.path} ({newcomer.sha256[:12]})")
            self._unheard_polls = 0
        if self._unheard_polls is not None:
            if self._unheard_polls % POLLS_PER_WORD == 0:
                self._inform(waiting_for="an episode")
            self._unheard_polls += 1

    def _on_episode(self, event: EpisodeEvent) -> None:
        is_late = self._is_newcomer and event.state is EpisodeState.RUNNING
        self._is_newcomer = False
        if event.state in (EpisodeState.RESETTING, EpisodeState.RUNNING):
            self._unheard_polls = None
        self._on_answers()
        self._worker.forget()
        if self._loop.has_ended(event):
            self._endpoints.publish(POLICY_ALIVE, to_header(event.stamp_ns))
        if not self._loop.on_episode(event):
            return
        self._part = None
        if is_late:  # it began with a policy that is gone, and its first ticks were not heard
            self._succession.step_down()
        live = self._live
        if live is None or event.facts.checkpoint not in ("", live.sha256):
            self.get_logger().error(f"episode {event.facts.id} is not for this policy")
            self._unheard_polls = 0  # say so until it ends
            return
        try:
            self._part = Part(live.policy, self._part_config, event.facts, self._latency)
        except So101Error as error:
            self.get_logger().error(f"episode {event.facts.id}: {error}")
            self._inform(waiting_for=str(error))
        self._act()

    def _on_control(self, event: ControlEvent) -> None:
        if self._part is not None:
            self._part.on_control(event)

    def _new_latency(self) -> LatencyEstimate:
        return LatencyEstimate(self._part_config.latency_ns)

    def _feed(self, topic: str, value: Any, stamp_ns: int, arrival_ns: int) -> None:
        self._newest_ns = max(self._newest_ns, stamp_ns)
        self._loop.feed(topic, value, stamp_ns, arrival_ns)
        self._act()

    def _act(self) -> None:
        """Ask for a chunk when one is due and the last one has arrived."""
        if self._part is None or not self._is_enabled or self._worker.is_owing:
            return
        if (observation := self._loop.due()) is not None:
            question = Question(
                actor=self._part.schedule,
                observation=observation,
                ages_ms=self._loop.ages_ms,
                asked_ns=time.monotonic_ns(),
            )
            self._worker.ask(question)

    def _on_answers(self) -> None:
        while (answer := self._worker.take()) is not None and self._part is not None:
            try:
                self._plan(self._part, answer)
            except So101Error as error:
                self._refuse(self._part, answer, str(error))
        self._act()

    def _plan(self, part: Part, answer: Answer) -> None:
        """Publish what came of an inference: chunk, arrays and how they came about."""
        if answer.inference is None:
            self._refuse(part, answer, answer.problem)
            return
        inference, stamp_ns = answer.inference, answer.question.observation.stamp_ns
        trajectory = part.arrive(inference.chunk, self._newest_ns)
        self._endpoints.publish(POLICY_TRAJECTORY, to_joint_trajectory(trajectory))
        part.overtaken += self._loop.hold_back(part.schedule.free_ns)
        for name in self._params.aux:
            self._endpoints.publish(aux_topic(name), to_aux(stamp_ns, inference.aux[name]))
        self._inform(
            stamp_ns=stamp_ns,
            inference_ms=answer.inference_ms,
            waited_ms=answer.waited_ms,
            speed=inference.chunk.speed,
            ages_ms=answer.question.ages_ms,
            native_action=tuple(inference.native_action.ravel().tolist()),
        )

    def _refuse(self, part: Part, answer: Answer, problem: str) -> None:
        """Say that an observation gets no chunk; after a bug the policy is silent from now on."""
        part.refused += 1
        self.get_logger().error(f"no chunk for this observation: {answer.bug or problem}")
        self._inform(waiting_for=problem, stamp_ns=answer.question.observation.stamp_ns)
        if answer.bug:
            self._part = None

    def _inform(self, *, stamp_ns: int | None = None, **values: Any) -> None:
        stamp_ns = self._newest_ns if stamp_ns is None else stamp_ns
        if self._live is not None:
            space = self._live.policy.spec.action_space
            latency_ticks = POLICY_GRID.ceil(self._part_config.latency_ns)
            values["highest_speed"] = space.highest_speed(latency_ticks)
        if self._part is not None:
            values["overtaken"] = self._part.overtaken
            values["refused"] = self._part.refused
        info = PolicyInfo(
            stamp_ns=stamp_ns,
            checkpoint="" if self._live is None else self._live.sha256,
            schedule=self._params.schedule,
            latency_ms=self._latency.expected_ns / 1e6,
            **values,
        )
        self._endpoints.tell(POLICY_INFO, info)

    def _on_alive(self) -> None:
        """Sign for the thread that infers, too: it must not hang."""
        was_hung, busy_s = self._is_hung, self._worker.busy_s()
        self._is_hung = busy_s > self._params.inference_timeout
        if self._is_hung and not was_hung:
            problem = f"an inference that has been running for {busy_s:.1f} s"
            self.get_logger().error(f"silent: waits for {problem}")
            self._inform(waiting_for=problem)
        is_acting = self._part is not None and self._loop.facts is not None
        if is_acting and self._is_enabled and not self._is_hung:
            self._endpoints.publish(POLICY_ALIVE, to_header(self._newest_ns))

    def _on_enable(self, is_enabled: bool) -> str:
        self._is_enabled = is_enabled
        self._worker.forget()
        return "the policy acts" if is_enabled else "the policy is silent"

    def _on_reload(self) -> str:
        newest = self._succession.newest
        if newest is None:
            raise SessionError("no checkpoint was announced yet")
        self._announce(newest)
        return f"loading {newest}"

    def destroy_node(self) -> None:
        """End the thread, too."""
        self._worker.close()
        super().destroy_node()


def main() -> int:
    """Run the policy node."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return run(PolicyNode)


if __name__ == "__main__":
    sys.exit(main())
