"""What learning costs who is served: round trips with and without training in the same process.

Per mode (state, cameras) a policy of the shipped size, a store of synthetic demonstrations, and
requests at random moments, 20 to 40 ms after the last answer. Phases without training and with it
take turns in one run, so that what else the machine does falls on both alike.

Part one, in process: how to train beside inference. ``beside`` is a plain thread, ``priority``
the same at the lowest priority of the system, ``gate`` one that gives way to requests
(`learner_node.serving_gate`), ``both`` is what is used.

Part two, through the server: a process with the real server and the real learner, which trains on
the store, publishes every fifty steps and hands each version over; the client is another process
on loopback. Camera images go as the 640x480 JPEGs that a camera makes.

    python benchmarks/serve_while_learning.py [--seconds 120] [--small] [--out FILE]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
from parts.synthetic_bags import record, scenes

from learner_node.algorithms.sft import Sft, SftConfig
from learner_node.serving_device import lower_priority
from learner_node.serving_gate import RequestGate, quick_switching
from learner_node.trainer import Trainer
from so101.data.dataset import DatasetConfig, EpisodeDataset
from so101.data.episode_store import EpisodeStore
from so101.observation import Observation
from so101.policies.canary import CanaryConfig, canary_observations
from so101.policies.flow_config import FlowConfig
from so101.policies.flow_policy import FlowPolicy
from so101.policies.policy import Policy
from so101.policies.threads import use_one_thread
from so101.robot import CAMERAS
from so101.spec import PolicySpec

SPECS = {
    "state": PolicySpec(uses_objects=True),
    "cameras": PolicySpec(cameras=CAMERAS, image_size=(96, 96)),
}
PHASE_S = 1.0
PAUSE_S = (0.02, 0.04)
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


class Training:
    """A training in a thread of its own, with a count of its steps."""

    def __init__(self, dataset: EpisodeDataset, way: str) -> None:
        """Prepare a training in one of the ways."""
        self.gate = RequestGate()
        self._has_gate = way in ("gate", "both")
        self._has_priority = way in ("priority", "both")
        self._stop = threading.Event()
        policy = FlowPolicy.for_data(dataset.spec, FlowConfig(), dataset)
        algorithm = Sft(policy, SftConfig.for_policy(dataset.spec, FOREVER), 0)
        self._trainer = Trainer(algorithm, dataset, steps=FOREVER, seed=0)

    def request(self) -> AbstractContextManager[None]:
        """Return what holds while a request is answered."""
        return self.gate.request() if self._has_gate else nullcontext()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Train while the context lasts."""
        self._stop.clear()
        thread = threading.Thread(target=self._train)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    @property
    def steps(self) -> int:
        """Steps done."""
        return self._trainer.step

    def _train(self) -> None:
        if self._has_priority:
            lower_priority()
        with self.gate.training() if self._has_gate else nullcontext():
            self._trainer.run(should_stop=self._should_stop)

    def _should_stop(self) -> bool:
        if self._has_gate:
            self.gate.begin_step()
        return self._stop.is_set()


def ask(answer: Callable[[], object], seconds: float, pauses: random.Random) -> list[float]:
    """Return round trips of requests at random moments [ms]."""
    spent, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        time.sleep(pauses.uniform(*PAUSE_S))
        began = time.perf_counter()
        answer()
        spent.append(1e3 * (time.perf_counter() - began))
    return spent


def summary(idle: Sequence[float], loaded: Sequence[float]) -> dict[str, float]:
    """Return medians, high percentiles and their ratios [ms]."""
    found: dict[str, float] = {"requests": len(loaded)}
    for share in (50, 90, 99):
        before, after = float(np.percentile(idle, share)), float(np.percentile(loaded, share))
        found |= {
            f"idle_p{share}_ms": round(before, 2),
            f"p{share}_ms": round(after, 2),
            f"ratio_p{share}": round(after / before, 2),
        }
    return found


def in_process(mode: str, ways: Sequence[str], seconds: float, root: Path) -> dict[str, Any]:
    """Compare the ways to train beside inference."""
    dataset = EpisodeDataset.from_store(fill(root, mode), SPECS[mode], DatasetConfig())
    policy: Policy = FlowPolicy.for_data(SPECS[mode], FlowConfig(), dataset)
    observation, pauses = seen(SPECS[mode]), random.Random(1)
    trainings = {way: Training(dataset, way) for way in ways}
    idle: list[float] = []
    spent: dict[str, list[float]] = {way: [] for way in ways}
    times = dict.fromkeys(ways, 0.0)
    alone_s = 0.0
    alone = Training(dataset, "beside")
    for number in range(max(2, round(seconds / (PHASE_S * (len(ways) + 2))))):
        idle += ask(lambda: policy.infer(observation), PHASE_S, pauses)
        began = time.perf_counter()
        with alone.running():
            time.sleep(PHASE_S)
        alone_s += time.perf_counter() - began
        for way in list(ways)[:: 1 if number % 2 else -1]:
            training, began = trainings[way], time.perf_counter()

            def answer(training: Training = training) -> None:
                with training.request():
                    policy.infer(observation)

            quick = quick_switching() if way == "both" else nullcontext()
            with quick, training.running():
                spent[way] += ask(answer, PHASE_S, pauses)
            times[way] += time.perf_counter() - began
    return {
        "steps_per_s_unserved": round(alone.steps / alone_s, 1),
        **{
            way: {
                **summary(idle, spent[way]),
                "steps_per_s": round(trainings[way].steps / times[way], 1),
            }
            for way in ways
        },
    }


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
    from learner_node.serving import LearningHost, load_version
    from learner_node.serving_work import Curriculum, ServingLearnerConfig
    from so101.policies.checkpoint import save_checkpoint
    from so101.policies.checkpoint_files import TrainingRecord
    from so101.policies.remote.hosting import HostedServer
    from so101.policies.remote.inference import Served
    from so101.policies.remote.server import PolicyServer
    from so101.policies.remote.server_config import ServerConfig

    store, checkpoints, gate = fill(root / "episodes", mode), root / "checkpoints", PausableGate()
    dataset = EpisodeDataset.from_store(store, SPECS[mode], DatasetConfig())
    policy = FlowPolicy.for_data(SPECS[mode], FlowConfig(), dataset)
    first = load_version(
        save_checkpoint(checkpoints, "sft", policy, TrainingRecord(algorithm="sft"))
    )
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
        from websockets.sync.client import connect

        from so101.policies.remote.messages import SUBPROTOCOL

        url = f"ws://127.0.0.1:{port}"
        self._socket = connect(url, subprotocols=[SUBPROTOCOL], compression=None, proxy=None)
        self._socket.recv()
        self._number, self._seen = 0, seen(SPECS[mode])
        rng = np.random.default_rng(5)
        self._jpegs = {camera: scenes(rng, 1)[0] for camera in SPECS[mode].cameras}

    def ask(self) -> None:
        """Ask for a chunk and wait for it."""
        from so101.policies.remote.messages import Answer, InferRequest
        from so101.policies.remote.protocol import pack_message, unpack_answer

        self._number += 1
        request = InferRequest(
            id=self._number,
            observation=replace(self._seen, images={}),
            timeout_ms=60_000.0,
            compressed=self._jpegs,
        )
        self._socket.send(pack_message(request))
        answer = unpack_answer(self._socket.recv())
        if not isinstance(answer, Answer):
            raise SystemExit(f"the server answered {answer}")


def through_server(mode: str, seconds: float, root: Path) -> dict[str, Any]:
    """Return round trips through the real server, at rest and while it trains."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(root), "--modes", mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdin is not None and process.stdout is not None
    talk = process.stdin, process.stdout

    def tell(word: str) -> tuple[int, int]:
        talk[0].write(word + "\n")
        talk[0].flush()
        steps, swaps, *reason = talk[1].readline().split()
        if reason:
            raise SystemExit(f"the learner failed: {' '.join(reason)}")
        return int(steps), int(swaps)

    try:
        client, pauses = Client(int(process.stdout.readline()), mode), random.Random(2)
        idle: list[float] = []
        loaded: list[float] = []
        trained_s = alone_s = 0.0
        trained = alone = swaps = 0
        tell("train")
        time.sleep(2.0)  # the job is planned and its episodes are read
        for _ in range(max(2, round(seconds / (3 * PHASE_S)))):
            tell("rest")
            time.sleep(0.1)  # the step under way
            idle += ask(client.ask, PHASE_S, pauses)
            before, began = tell("train")[0], time.perf_counter()
            loaded += ask(client.ask, PHASE_S, pauses)
            between, middle = tell("train")[0], time.perf_counter()
            time.sleep(PHASE_S)
            after, swaps = tell("rest")
            trained, trained_s = trained + between - before, trained_s + middle - began
            alone, alone_s = alone + after - between, alone_s + time.perf_counter() - middle
    finally:
        process.stdin.close()
        process.wait(60.0)
    return {
        **summary(idle, loaded),
        "steps_per_s": round(trained / trained_s, 1),
        "steps_per_s_unserved": round(alone / alone_s, 1),
        "versions_handed_over": swaps,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="of each part and mode")
    parser.add_argument("--modes", nargs="+", choices=SPECS, default=list(SPECS))
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--small", action="store_true", help="as make bench runs it")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.small:
        arguments.seconds = 6.0
    use_one_thread()
    if arguments.serve:
        serve(arguments.modes[0], arguments.serve)
        return
    result: dict[str, Any] = {"cores": os.cpu_count()}
    for mode in arguments.modes:
        with tempfile.TemporaryDirectory() as root:
            ways = ("both",) if arguments.small else ("beside", "priority", "gate", "both")
            result[mode] = {"in_process": in_process(mode, ways, arguments.seconds, Path(root))}
        with tempfile.TemporaryDirectory() as root:
            found = through_server(mode, arguments.seconds, Path(root))
            result[mode]["through_server"] = found
        print(json.dumps({mode: result[mode]}), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
