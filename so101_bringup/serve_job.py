"""Learning beside a policy server: the learner's thread, and how it is on the server's pages."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from learner_node.serving import LearnerHealth, LearningHost, load_version, where_to_go_on
from learner_node.serving_device import urgent
from learner_node.serving_gate import RequestGate, quick_switching
from learner_node.serving_work import Curriculum, ServingLearnerConfig
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_lock import StoreLock
from so101.errors import CheckpointError
from so101.policies.checkpoints.files import is_step_directory, verify
from so101.policies.checkpoints.roles import latest
from so101.policies.remote.server.inference import Served
from so101.policies.remote.server.running import Companion
from so101.policies.remote.server.server import PolicyServer
from so101.policies.threads import use_one_thread

LOCK_NAME = ".learner.lock"
LOOK_S = 1.0
"""How often the server's pages are told how the learner is [s]."""


@dataclass(frozen=True, kw_only=True)
class Learning:
    """What a server that learns is made of.

    Attributes:
        served: What it serves first.
        on_busy: Told whether requests are there; see `PolicyServer`.
        companion: Runs beside it.
    """

    served: Served
    on_busy: Callable[[bool], None]
    companion: Companion


@contextmanager
def learning(
    checkpoint: Path,
    store: EpisodeStore,
    config: ServingLearnerConfig,
    *,
    device: str = "cpu",
    say: Callable[[str], None],
) -> Iterator[Learning]:
    """Hold a run's checkpoints for one learner while a server serves them.

    Args:
        checkpoint: What is served and trained further; if that was done before, what came of it.
        store: Where episodes arrive.
        config: What is learned from them.
        device: Where the network runs.
        say: Takes each line for the person.

    Raises:
        CheckpointError: It is damaged, or lies in no directory of checkpoints.
        StoreError: Another learner trains there.
    """
    if not is_step_directory(checkpoint):
        raise CheckpointError(
            f"{checkpoint}: lies in no series of checkpoints, so nothing can follow it there; "
            "name one of a run, or load it into one first"
        )
    use_one_thread()
    lock = StoreLock(_root(checkpoint) / LOCK_NAME, "so101 serve --learn")
    try:
        made = _made(checkpoint, store, config, device=device, say=say)
        with quick_switching():
            yield made
    finally:
        lock.release()


def _root(checkpoint: Path) -> Path:
    """Return the directory of checkpoints in one of whose series a checkpoint lies."""
    return checkpoint.parent.parent


def _made(
    checkpoint: Path,
    store: EpisodeStore,
    config: ServingLearnerConfig,
    *,
    device: str,
    say: Callable[[str], None],
) -> Learning:
    root = _root(checkpoint)
    first = where_to_go_on(root, verify(checkpoint), latest(root, "live"))
    version = load_version(first, device)
    gate, curriculum = RequestGate(), Curriculum(store, root, root.parent / "jobs", config)

    async def companion(server: PolicyServer) -> None:
        host = LearningHost(
            curriculum,
            version,
            gate,
            hand_over=lambda new: server.swap(
                Served(policy=urgent(new.policy, device), sha256=new.sha256)
            ),
            device=device,
        )
        await _beside(host, server, say)

    served = Served(policy=urgent(version.policy, device), sha256=version.sha256)
    return Learning(served=served, on_busy=gate.set_busy, companion=companion)


async def _beside(host: LearningHost, server: PolicyServer, say: Callable[[str], None]) -> None:
    """Let the learner work, and tell how it is until the server ends."""
    host.start()
    told: tuple[object, ...] = ()
    try:
        while True:
            health = host.health
            _show(server, health)
            news = (health.phase, health.work, health.reason, health.refused, health.published)
            if news != told:
                told = news
                say(describe(health, server.served.sha256))
            await asyncio.sleep(LOOK_S)
    finally:
        if not await asyncio.to_thread(host.stop):
            say("the learner did not end in time; its job goes on from where it was saved")


def describe(health: LearnerHealth, sha256: str) -> str:
    """Say in a line how a learner is, and what is served."""
    parts = [f"learner {health.phase}", health.work, health.reason]
    if health.refused:
        parts.append(f"not served: {health.refused}")
    return "; ".join((*filter(None, parts), f"serving {sha256[:12]}"))


def _show(server: PolicyServer, health: LearnerHealth) -> None:
    metrics = server.metrics
    reason = f": {health.reason}" if health.reason else ""
    metrics.notices["learner"] = f"{health.phase}{reason}"
    metrics.beside = {
        "learner_step": float(health.step),
        "learner_steps": float(health.steps),
        "learner_loss": health.loss,
        "learner_versions": float(health.published),
        "learner_gave_way_seconds": health.waited_s,
    }
