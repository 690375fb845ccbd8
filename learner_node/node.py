"""Learner node: trains on the bags when asked, publishes candidates, promotes and rolls back.

Training runs in this process's one thread, between two looks at the messages, so that it needs no
lock and answers within a training step. How to train is in ``learner_node.training``; what becomes
of a group of rollouts in ``learner_node.group_update``.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.node import Node

from learner_node import training
from learner_node.fine_tuning import fine_tuning_job, open_job, request_of
from learner_node.group_update import group_update_of
from learner_node.lineage import check_promotable
from learner_node.memory import go_first
from learner_node.params import LearnerParams
from learner_node.trainer import Progress, TrainerConfig
from so101.data.stores.episode_store import EpisodeStore
from so101.data.training.dataset import EpisodeDataset
from so101.errors import CheckpointError, ConfigError, So101Error
from so101.events import EpisodeEvent
from so101.policies.checkpoints.files import Checkpoint
from so101.policies.checkpoints.roles import latest, promote, rollback
from so101.policies.threads import use_one_thread
from so101.ros.endpoints import Endpoints
from so101.ros.health import Health
from so101.ros.params import declare
from so101.ros.run import run
from so101.ros.spin import Spinner
from so101.ros.timing import repeat
from so101.status_events import CheckpointEvent, GroupRequest, LearnerStatus
from so101.topics import EPISODE, LEARNER_REQUEST, LEARNER_STATUS, POLICY_CHECKPOINT

HEARTBEAT_S = 0.5


class LearnerNode(Node):
    """Turns bags into checkpoints."""

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters, create the interfaces, announce the newest checkpoint."""
        super().__init__("learner_node", **kwargs)
        use_one_thread()
        params = declare(self, LearnerParams)
        if not params.store or not params.checkpoints:
            raise ConfigError("learner_node: name the parameters store and checkpoints")
        self._request, self._base = request_of(params), params.base
        self._trainer = TrainerConfig(device=params.device)
        self._checkpoints = Path(params.checkpoints)
        self._jobs = Path(params.jobs) if params.jobs else self._checkpoints.parent / "jobs"
        self._store = EpisodeStore(Path(params.store))
        self._update = group_update_of(params, self._store, self._checkpoints, self._jobs)
        self._is_wanted = False
        self._group: GroupRequest | None = None
        self._newest_ns = 0
        self._status = LearnerStatus(stamp_ns=0, phase="idle")
        self._endpoints = endpoints = Endpoints(self)
        endpoints.offer(LEARNER_STATUS, POLICY_CHECKPOINT)
        endpoints.hear(EPISODE, EpisodeEvent, self._on_episode)
        endpoints.hear(LEARNER_REQUEST, GroupRequest, self._on_group)
        endpoints.trigger("learner/train", self._on_train)
        endpoints.trigger("learner/promote", self._on_promote)
        endpoints.trigger("learner/rollback", self._on_rollback)
        Health(self, endpoints)
        repeat(self, HEARTBEAT_S, self._on_heartbeat)
        self._on_heartbeat()

    def work(self, spinner: Spinner) -> None:
        """Answer messages, and train when it is wanted."""
        while not spinner.is_stopped:
            spinner.spin_once(0.1)
            if self._is_wanted:
                self._is_wanted = False
                self._train(spinner)
            if self._group is not None:
                request, self._group = self._group, None
                self._learn(request, spinner)

    def _train(self, spinner: Spinner) -> None:
        try:
            job = fine_tuning_job(self._request, self._store, self._checkpoints, base=self._base)
            self._set(phase="loading", steps=job.steps, episodes=len(job.episodes))
            checkpoint = training.run(
                open_job(self._jobs, job),
                self._store,
                self._checkpoints,
                trainer_config=self._trainer,
                on_dataset=self._on_dataset(steps=job.steps, episodes=len(job.episodes)),
                report=self._report(episodes=len(job.episodes)),
                should_stop=_answering(spinner),
            )
        except So101Error as error:
            self.get_logger().error(str(error))
            self._set(phase="failed", reason=str(error))
            return
        if checkpoint is not None:
            self._announce(checkpoint, "candidate")
            loss = checkpoint.record.metrics.get("loss", 0.0)
            self._set(phase="trained", checkpoint=checkpoint.sha256, loss=loss)

    def _learn(self, request: GroupRequest, spinner: Spinner) -> None:
        """Learn from a group; only what the gate let pass is announced."""
        group = request.group
        self._set(phase="loading", group=group)
        is_stopped = _answering(spinner)

        def each(done: int, poses: int) -> bool:
            self._set(phase="judging", group=group, step=done, steps=poses)
            return is_stopped()

        try:
            settled = self._update.run(
                request,
                on_dataset=self._on_dataset(group=group),
                report=self._report(group=group),
                should_stop=is_stopped,
                each=each,
            )
        except So101Error as error:
            self.get_logger().error(f"group {group}: {error}")
            self._set(phase="failed", group=group, reason=str(error))
            return
        if settled is not None:
            is_promoted = settled.acting.sha256 == settled.promoted.sha256
            self._announce(settled.acting, "promoted" if is_promoted else "candidate")
            self._set(
                phase="trained",
                group=group,
                checkpoint=settled.acting.sha256,
                promoted=settled.promoted.sha256,
                is_accepted=settled.verdict.is_accepted,
                loss=settled.loss,
                reason=settled.words,
            )

    def _on_dataset(self, **values: Any) -> Callable[[EpisodeDataset], None]:
        def read(dataset: EpisodeDataset) -> None:
            self._set(phase="loading", reason=training.describe(dataset), **values)
            for left_out in dataset.skipped:
                self.get_logger().warning(f"{left_out.episode}: left out: {left_out.reason}")

        return read

    def _report(self, **values: Any) -> Callable[[Progress], None]:
        def report(progress: Progress) -> None:
            self._set(
                phase="training",
                step=progress.step,
                steps=progress.steps,
                loss=progress.loss,
                **values,
            )

        return report

    def _set(self, **values: Any) -> None:
        self._status = LearnerStatus(stamp_ns=self._newest_ns, **values)
        self._on_heartbeat()

    def _on_heartbeat(self) -> None:
        self._endpoints.tell(LEARNER_STATUS, self._status)

    def _on_episode(self, event: EpisodeEvent) -> None:
        self._newest_ns = max(self._newest_ns, event.stamp_ns)

    def _announce(self, checkpoint: Checkpoint, role: str) -> None:
        self._endpoints.tell(
            POLICY_CHECKPOINT,
            CheckpointEvent(
                stamp_ns=self._newest_ns,
                path=str(checkpoint.path),
                sha256=checkpoint.sha256,
                role=role,
                step=checkpoint.record.step,
            ),
        )

    def _on_train(self) -> str:
        if self._is_wanted or self._status.phase in ("loading", "training", "judging"):
            return "a training is running already"  # asked again, lest a request be lost
        self._is_wanted = True
        self._set(phase="loading")  # what was said of an earlier training is no answer to this
        return "training"

    def _on_group(self, request: GroupRequest) -> None:
        self._group = request

    def _on_promote(self) -> str:
        candidate = latest(self._checkpoints, "candidate")
        if candidate is None:
            raise CheckpointError(f"{self._checkpoints}: there is no candidate")
        check_promotable(candidate)
        promote(self._checkpoints, candidate.path)
        self._announce(candidate, "promoted")
        return f"promoted {candidate.path}"

    def _on_rollback(self) -> str:
        checkpoint = rollback(self._checkpoints)
        self._announce(checkpoint, "promoted")
        self._set(phase="taken back", checkpoint=checkpoint.sha256)
        return f"back to {checkpoint.path}"


def _answering(spinner: Spinner) -> Callable[[], bool]:
    """Return a stop question for the trainer that answers messages each time it is asked."""

    def should_stop() -> bool:
        spinner.spin_once(0.0)
        return spinner.is_stopped

    return should_stop


def main() -> int:
    """Run the learner node."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    go_first()
    return run(LearnerNode, loop=lambda node, spinner: node.work(spinner))


if __name__ == "__main__":
    sys.exit(main())
