"""Policy node: observations in, joint trajectories out.

Owns the topics, the decision ticks and the swap of policies between episodes. It never waits for a
network: inference has a thread of its own. Networks, checkpoints and servers are in
``so101.policies``; who follows the trajectories is the arbiter's business.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from rclpy.node import Node

from policy_node.loader import Loaded
from policy_node.params import PolicyParams
from policy_node.part import Part, PartConfig
from policy_node.seeing import Seeing
from policy_node.supply import make_supply
from policy_node.telling import info_of, told_of
from policy_node.worker import Answer, InferenceWorker, Question
from so101.acting import ActingLoop
from so101.decoding import EarlyDecoder
from so101.episode import ControlSource, EpisodeState
from so101.errors import ServerLostError, ServerRefusedError, So101Error
from so101.events import ControlEvent, EpisodeEvent
from so101.policies.schedules.latency import LatencyEstimate
from so101.policies.threads import use_one_thread
from so101.ros.aux_tables import to_aux
from so101.ros.convert import to_event, to_header
from so101.ros.endpoints import Endpoints
from so101.ros.handover import Handover
from so101.ros.health import Health
from so101.ros.observing import observe
from so101.ros.params import declare
from so101.ros.run import run
from so101.ros.timing import repeat
from so101.status_events import CheckpointEvent
from so101.streams import ObservationConfig
from so101.topics import (
    CONTROL_SOURCE,
    DIAGNOSTICS,
    EPISODE,
    POLICY_ALIVE,
    POLICY_CHECKPOINT,
    POLICY_INFO,
    POLICY_TRAJECTORY,
    aux_topic,
)

ALIVE_PERIOD_S = 0.03
POLL_PERIOD_S = 0.1
REPORT_PERIOD_S = 1.0
BLIND_S = 0.2
"""An image that is lacking for longer is told of [s]; meanwhile nothing is decided."""

POLLS_PER_WORD = 10
"""An idle policy says once a second what it runs, until an episode begins: some come late."""


class PolicyNode(Node):
    """Acts in the episodes that name the policy as their source."""

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters and create the interfaces; policies are loaded in the background."""
        super().__init__("policy_node", **kwargs)
        use_one_thread()
        self._params = params = declare(self, PolicyParams)
        self._config = PartConfig.of(params)
        self._supply = make_supply(params, self._config)
        self._succession = self._supply.succession
        self._worker = InferenceWorker(Handover(self, self._on_answers).ask)
        self._part: Part | None = None
        self._latency = LatencyEstimate(self._config.latency_ns)
        self._is_hung = self._is_owed_a_chunk = False
        self._problem = ""
        self._unheard_polls: int | None = None
        self._is_newcomer = self._is_enabled = True
        self._newest_ns = 0
        self._loop = self._observe(params)
        if params.checkpoint:
            self._supply.announce(Path(params.checkpoint))

    def _observe(self, params: PolicyParams) -> ActingLoop:
        config = ObservationConfig(
            cameras=params.cameras,
            uses_objects=params.uses_objects,
            task=params.task,
            is_lock_step=params.lockstep,
            max_image_skew_s=params.max_image_skew,
        )
        # a server gets the JPEGs as they are
        decoder = None if params.server else EarlyDecoder(params.cameras)
        source = ControlSource.POLICY.value
        loop = ActingLoop(config, source, params.decision_ticks, decoder)
        self._endpoints = endpoints = Endpoints(self)
        endpoints.offer(POLICY_TRAJECTORY, POLICY_ALIVE, POLICY_INFO)
        endpoints.offer(*(aux_topic(name) for name in params.aux))
        endpoints.hear(EPISODE, EpisodeEvent, self._on_episode)
        endpoints.hear(CONTROL_SOURCE, ControlEvent, self._on_control)
        if not params.server:
            endpoints.hear(POLICY_CHECKPOINT, CheckpointEvent, self._on_checkpoint)
        observe(endpoints, config, self._feed)
        endpoints.switch("policy/enable", self._on_enable)
        endpoints.trigger("policy/reload", self._supply.reload)
        repeat(self, ALIVE_PERIOD_S, self._on_alive)
        repeat(self, POLL_PERIOD_S, self._on_poll)
        self._seeing = None
        if params.cameras and not params.lockstep:  # in lock-step all stamps are the tick's
            self._seeing = Seeing(params.cameras, params.max_image_skew)
            repeat(self, REPORT_PERIOD_S, self._on_report)
        Health(self, endpoints)
        return loop

    @property
    def _live(self) -> Loaded | None:
        return self._succession.live

    def _on_checkpoint(self, event: CheckpointEvent) -> None:
        self._supply.announce(Path(event.path), event.sha256)

    def _on_poll(self) -> None:
        if problem := self._supply.look():
            self._complain(f"policy refused: {problem}")
            self._inform(waiting_for=f"a better policy: {problem}")
        if self._live is None and self._part is not None:
            self._leave("other weights: the policy of this episode is gone")
        if self._loop.facts is None and (newcomer := self._succession.take_over()):
            self._loop.resize(newcomer.policy.spec.image_size)
            self._latency = LatencyEstimate(self._config.latency_ns)
            self.get_logger().info(f"running {newcomer.path} ({newcomer.sha256[:12]})")
            self._unheard_polls = 0
        if self._unheard_polls is not None:
            if self._unheard_polls % POLLS_PER_WORD == 0:
                self._inform(waiting_for="an episode")
            self._unheard_polls += 1
        if self._is_owed_a_chunk and not self._worker.is_owing:
            self._loop.retry()
        if blindness := self._loop.blindness(BLIND_S):
            self._complain(f"sees too little to act: {blindness}")
            self._inform(waiting_for=blindness)
        self._on_answers()

    def _on_episode(self, event: EpisodeEvent) -> None:
        is_late = self._is_newcomer and event.state is EpisodeState.RUNNING
        self._is_newcomer = False
        if event.state in (EpisodeState.RESETTING, EpisodeState.RUNNING):
            self._unheard_polls = None
        self._take_answers()
        self._worker.forget()
        if self._loop.has_ended(event):
            self._endpoints.publish(POLICY_ALIVE, to_header(event.stamp_ns))
        self._part, self._is_owed_a_chunk = None, False
        if not self._loop.on_episode(event):
            return
        if is_late:  # it began with a policy that is gone, and its first ticks were not heard
            self._succession.step_down()
        live = self._live
        if live is None or event.facts.checkpoint not in ("", live.sha256):
            self._leave(f"episode {event.facts.id} is not for this policy")
            return
        try:
            self._part = Part(live.policy, self._config, event.facts, self._latency)
        except So101Error as error:
            self.get_logger().error(f"episode {event.facts.id}: {error}")
            self._inform(waiting_for=str(error))
        self._act()

    def _leave(self, reason: str) -> None:
        """Act no more in this episode, and say so until it ends."""
        self.get_logger().error(reason)
        self._part, self._unheard_polls = None, 0

    def _on_control(self, event: ControlEvent) -> None:
        if self._part is not None:
            self._part.on_control(event)

    def _feed(self, topic: str, value: Any, stamp_ns: int, arrival_ns: int) -> None:
        self._newest_ns = max(self._newest_ns, stamp_ns)
        self._loop.feed(topic, value, stamp_ns, arrival_ns)
        self._act()

    def _act(self) -> None:
        """Ask for a chunk when one is due and the last one has arrived."""
        if self._part is None or not self._is_enabled or self._worker.is_owing:
            return
        if (observation := self._loop.due()) is not None:
            if self._seeing and self._loop.joined:
                self._seeing.note(self._loop.joined)
            question = Question(
                actor=self._part.schedule,
                observation=observation,
                ages_ms=self._loop.ages_ms,
                asked_ns=time.monotonic_ns(),
            )
            self._worker.ask(question)

    def _on_report(self) -> None:
        if self._seeing:
            event = self._seeing.report(self._loop, self._newest_ns)
            self._endpoints.publish(DIAGNOSTICS, to_event(event))

    def _on_answers(self) -> None:
        self._take_answers()
        self._act()

    def _take_answers(self) -> None:
        while (answer := self._worker.take()) is not None and self._part is not None:
            try:
                self._plan(self._part, answer)
            except So101Error as error:
                self._refuse(self._part, answer, error)

    def _plan(self, part: Part, answer: Answer) -> None:
        """Publish what came of an inference: chunk, arrays and how they came about."""
        if answer.inference is None:
            self._refuse(part, answer, answer.error)
            return
        inference, stamp_ns = answer.inference, answer.question.observation.stamp_ns
        trajectory = part.arrive(inference.chunk, self._newest_ns)
        self._endpoints.command(POLICY_TRAJECTORY, trajectory)
        part.overtaken += self._loop.hold_back(part.schedule.free_ns)
        for name in self._params.aux:
            self._endpoints.publish(aux_topic(name), to_aux(stamp_ns, inference.aux[name]))
        self._is_owed_a_chunk = False
        self._complain("")
        self._inform(stamp_ns=stamp_ns, **told_of(answer, inference))

    def _refuse(self, part: Part, answer: Answer, error: Exception | None) -> None:
        """Say that an observation gets no chunk; after a bug the policy is silent from now on.

        A server may give one a moment later, so it is asked again.
        """
        part.refused += not isinstance(error, ServerLostError)
        if isinstance(error, ServerRefusedError):
            self._supply.on_refusal()
        self._is_owed_a_chunk = isinstance(error, (ServerLostError, ServerRefusedError))
        self._complain(f"no chunk for this observation: {answer.bug or error}")
        self._inform(waiting_for=str(error), stamp_ns=answer.question.observation.stamp_ns)
        if answer.bug:
            self._part = None

    def _complain(self, problem: str) -> None:
        """Log a problem once, and that it is over."""
        if problem and problem != self._problem:
            self.get_logger().error(problem)
        elif self._problem and not problem:
            self.get_logger().info("acting again")
        self._problem = problem

    def _inform(self, *, stamp_ns: int | None = None, **values: Any) -> None:
        stamp_ns = self._newest_ns if stamp_ns is None else stamp_ns
        info = info_of(
            self._config, self._live, self._part, self._latency, stamp_ns=stamp_ns, **values
        )
        self._endpoints.tell(POLICY_INFO, info)

    def _on_alive(self) -> None:
        """Sign for the thread that infers, too: it must not hang."""
        was_hung, busy_s = self._is_hung, self._worker.busy_s()
        self._is_hung = busy_s > self._config.hangs_after_s
        if self._is_hung and not was_hung:
            problem = f"an inference that has been running for {busy_s:.1f} s"
            self._complain(f"silent: waits for {problem}")
            self._inform(waiting_for=problem)
        is_acting = self._part is not None and self._loop.facts is not None
        if is_acting and self._is_enabled and not self._is_hung:
            self._endpoints.publish(POLICY_ALIVE, to_header(self._newest_ns))

    def _on_enable(self, is_enabled: bool) -> str:
        self._is_enabled = is_enabled
        self._worker.forget()
        return "the policy acts" if is_enabled else "the policy is silent"

    def destroy_node(self) -> None:
        """End the threads, too."""
        self._worker.close()
        self._supply.close()
        super().destroy_node()


def main() -> int:
    """Run the policy node."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return run(PolicyNode)


if __name__ == "__main__":
    sys.exit(main())
