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
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import numpy as np
from parts.learning_server import FOREVER, SPECS, Client, fill, seen, serve

from learner_node.algorithms.sft import Sft, SftConfig
from learner_node.serving_device import lower_priority
from learner_node.serving_gate import RequestGate, quick_switching
from learner_node.trainer import Trainer
from so101.data.training.dataset import DatasetConfig, EpisodeDataset
from so101.policies.flow.config import FlowConfig
from so101.policies.flow.policy import FlowPolicy
from so101.policies.policy import Policy
from so101.policies.threads import use_one_thread

PHASE_S = 1.0
PAUSE_S = (0.02, 0.04)


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


def through_server(mode: str, seconds: float, root: Path) -> dict[str, Any]:
    """Return round trips through the real server, at rest and while it trains."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(root), "--modes", mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    questions, answers = process.stdin, process.stdout

    def tell(word: str) -> tuple[int, int]:
        questions.write(word + "\n")
        questions.flush()
        steps, swaps, *reason = answers.readline().split()
        if reason:
            raise SystemExit(f"the learner failed: {' '.join(reason)}")
        return int(steps), int(swaps)

    client, pauses = Client(int(answers.readline()), mode), random.Random(2)
    try:
        idle: list[float] = []
        loaded: list[float] = []
        trained_s = alone_s = 0.0
        trained = alone = swaps = 0
        while tell("train")[0] < 3:  # the job is planned and its episodes are read
            time.sleep(0.2)
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
        client.close()
        questions.close()
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
        arguments.seconds = 5.0
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
