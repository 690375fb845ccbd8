"""A server that learns, in a process of its own, and a robot that asks it: for benchmarks."""

import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from parts.synthetic_bags import record, scenes
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from learner_node.serving import LearningHost, load_version
from learner_node.serving_gate import RequestGate, quick_switching
from learner_node.serving_work import Curriculum, ServingLearnerConfig
from so101.data.stores.episode_store import EpisodeStore
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.observation import Observation
from so101.policies.checkpoints.canary import CanaryConfig, canary_observations
from so101.policies.checkpoints.checkpoint import save_checkpoint
from so101.policies.checkpoints.files import TrainingRecord
from so101.policies.flow.config import FlowConfig
from so101.policies.flow.policy import FlowPolicy
from so101.policies.remote.server.config import ServerConfig
from so101.policies.remote.server.hosting import HostedServer
from so101.policies.remote.server.inference import Served
from so101.policies.remote.server.server import PolicyServer
from so101.policies.remote.wire.messages import SUBPROTOCOL, Answer, InferRequest
from so101.policies.remote.wire.protocol import pack_message, unpack_answer
from so101.robot import CAMERAS
from so101.spec import PolicySpec

SPECS = {
    "state": PolicySpec(uses_objects=True),
    "cameras": PolicySpec(cameras=CAMERAS, image_size=(96, 96)),
}
FOREVER = 10**7
TICKS, EPISODES = 40, 3


def fill(root: Path, mode: str) -> EpisodeStore:
    """Record synthetic demonstrations."""
    rng = np.random.default_rng(3)
    for number in range(EPISODES):
        seen = {camera: scenes(rng, TICKS) for camera in SPECS[mode].cameras}
        record(root, number, seen, 0 if seen else TICKS)
    return EpisodeStore(root)


def seen(spec: PolicySpec) -> Observation:
    """Return what is asked about, images as large as the policy wants them."""
    return canary_observations(spec, CanaryConfig(observations=1))[0]


class PausableGate(RequestGate):
    """A gate at which training can be made to rest.

    Attributes:
        may_train: Cleared while it rests.
        steps: Steps begun.
    """

    def __init__(self) -> None:
        """Begin at rest."""
        super().__init__()
        self.may_train, self.steps = threading.Event(), 0

    def begin_step(self) -> None:
        """Rest, or begin a step."""
        self.may_train.wait()
        self.steps += 1
        super().begin_step()


def serve(mode: str, root: Path) -> None:
    """Serve and learn; ``train`` and ``rest`` on the standard input are answered by the steps."""
    store, checkpoints, gate = fill(root / "episodes", mode), root / "checkpoints", PausableGate()
    dataset = EpisodeDataset.from_store(store, SPECS[mode], DatasetConfig())
    policy = FlowPolicy.for_data(SPECS[mode], FlowConfig(), dataset)
    record_of = TrainingRecord(algorithm="sft")
    first = load_version(save_checkpoint(checkpoints, "sft", policy, record_of))
    config = ServingLearnerConfig(steps=FOREVER, publish_every=50)
    curriculum = Curriculum(store, checkpoints, root / "jobs", config)
    served = Served(policy=first.policy, sha256=first.sha256)
    server = PolicyServer(served, ServerConfig(port=0, swap_rule="episode"), on_busy=gate.set_busy)
    host = LearningHost(
        curriculum,
        first,
        gate,
        hand_over=lambda new: server.swap(Served(policy=new.policy, sha256=new.sha256)),
    )
    with quick_switching(), HostedServer(server):
        host.start()
        print(server.port, flush=True)
        for line in sys.stdin:
            if line.strip() == "train":
                gate.may_train.set()
            else:
                gate.may_train.clear()
            print(gate.steps, server.metrics.swaps, host.health.reason, flush=True)
        gate.may_train.set()
        host.stop()


class Client:
    """One robot of a server in another process."""

    def __init__(self, port: int, mode: str) -> None:
        """Connect, and prepare what is asked about."""
        self._stack = ExitStack()
        connection = connect(
            f"ws://127.0.0.1:{port}",
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            proxy=None,
        )
        self._socket = self._stack.enter_context(connection)
        self._socket.recv()
        self._number, self._seen = 0, seen(SPECS[mode])
        rng = np.random.default_rng(5)
        self._jpegs = {camera: scenes(rng, 1)[0] for camera in SPECS[mode].cameras}

    def ask(self) -> None:
        """Ask for a chunk and wait for it."""
        self._number += 1
        request = InferRequest(
            id=self._number,
            observation=replace(self._seen, images={}),
            timeout_ms=60_000.0,
            compressed=self._jpegs,
        )
        self._socket.send(pack_message(request))
        answer = unpack_answer(self._socket.recv(decode=False))
        if not isinstance(answer, Answer):
            raise SystemExit(f"the server answered {answer}")

    def close(self) -> None:
        """Leave the server."""
        self._stack.close()
