"""How fast a pi0 plans and learns on a GPU, and in how much memory. Writes JSON.

A pi0 of its real size with random weights, bfloat16, its unused heads left out; two cameras and
an empty slot of 224x224, 48 tokens, chunks of 50 points, 10 Euler steps. In one run, in turn:

- planning one chunk: eager, torch.compile, torch.compile with CUDA graphs (``reduce-overhead``).
  Medians in milliseconds, and each as a share of eager's in the same round;
- training with the learner's own optimiser, average included: adapters (lora) and the expert
  alone, each with and without gradient checkpointing. Rows per second and peak memory.

Without CUDA nothing is measured, which is said, and the exit code is 0. ``--small`` measures the
eager path of a miniature on whatever is there: that the code works, no figure of worth.

    python benchmarks/vla_gpu.py [--rounds 20] [--steps 10] [--batch 8] [--small] [--out FILE]
"""

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from learner_node.algorithms.optimization import Optimization, OptimizationConfig
from so101.policies.lerobot.losses import row_losses
from so101.policies.lerobot.tuning import (
    apply_tuning,
    computing,
    count,
    drop_unused_heads,
    trained,
)
from so101.policies.tuning import Tuning

PACKAGES = ("lerobot", "transformers", "peft")
JOINTS, TOKENS, IMAGE = 6, 48, 224
CAMERAS = ("wrist", "front", "empty")
MB = 1e6
WARM_UP = 2


class Trained:
    """What the learner's optimiser asks of a policy."""

    def __init__(self, network: Any) -> None:
        """Train a LeRobot policy."""
        self._network = network

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the weights that train."""
        return list(trained(self._network).values())


def main() -> int:
    """Measure, print, write."""
    arguments = parse()
    absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        print(f"vla_gpu: nothing measured: {', '.join(absent)} not installed; make lerobot")
        return 0
    if not torch.cuda.is_available() and not arguments.small:
        print("vla_gpu: nothing measured: no CUDA device here")
        return 0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with pi0(device, is_small=arguments.small) as network:
        result = {"device": name_of(device), "torch": torch.__version__}
        result["parameters"] = count(dict(network.named_parameters()))
        print(f"{result['device']}, pi0 of {result['parameters'] / 1e9:.2f} billion weights")
        result["planning"] = planning(network, arguments.rounds, device)
        result["training"] = training(network, arguments, device)
    if arguments.out:
        Path(arguments.out).write_text(json.dumps(result, indent=1) + "\n")
    failed = [one for part in ("planning", "training") for one in problems(result[part])]
    for problem in failed:
        print(f"failed: {problem}", file=sys.stderr)
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Speed and memory of a pi0 on a GPU.")
    parser.add_argument("--rounds", type=int, default=20, help="chunks planned each way (20)")
    parser.add_argument("--steps", type=int, default=10, help="training steps each way (10)")
    parser.add_argument("--batch", type=int, default=8, help="rows per training step (8)")
    parser.add_argument("--small", action="store_true", help="a miniature, on the CPU as well")
    parser.add_argument("--out", default="", metavar="FILE", help="write the result there")
    arguments = parser.parse_args()
    if arguments.small:
        torch.set_num_threads(1)
        arguments.rounds, arguments.steps, arguments.batch = 3, 2, 2
    return arguments


@contextmanager
def pi0(device: torch.device, *, is_small: bool) -> Iterator[Any]:
    """Yield a pi0 with random weights."""
    if is_small:
        sys.path.append(str(Path(__file__).parents[1] / "test"))  # where the miniatures are
        from tiny_lerobot import tiny_policy

        with tempfile.TemporaryDirectory() as directory:
            network = tiny_policy("pi0", Path(directory), cameras=CAMERAS)
            network.config.empty_cameras = 1
            drop_unused_heads(network)
            yield network.to(device)
        return
    from lerobot.configs import FeatureType, PolicyFeature
    from lerobot.policies.pi0.configuration_pi0 import PI0Config
    from lerobot.policies.pi0.modeling_pi0 import PI0Policy

    inputs = {"observation.state": PolicyFeature(FeatureType.STATE, (JOINTS,))}
    for camera in CAMERAS:
        shape = (3, IMAGE, IMAGE)
        inputs[f"observation.images.{camera}"] = PolicyFeature(FeatureType.VISUAL, shape)
    outputs = {"action": PolicyFeature(FeatureType.ACTION, (JOINTS,))}
    config = PI0Config(
        input_features=inputs, output_features=outputs, device=str(device), dtype="bfloat16"
    )
    torch.manual_seed(0)
    with device:  # built where it runs: 16 GB in float32 for a moment
        network = PI0Policy(config)
    drop_unused_heads(network)
    torch.cuda.empty_cache()
    yield network


def make_batch(network: Any, rows: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Return random inputs; the last camera's slot stays empty."""
    size, tokens = network.config.image_resolution, network.config.tokenizer_max_length
    batch = {
        "observation.state": torch.randn(rows, JOINTS, device=device),
        "action": torch.randn(rows, network.config.chunk_size, JOINTS, device=device),
        "observation.language.tokens": torch.randint(4, 200, (rows, tokens), device=device),
        "observation.language.attention_mask": torch.ones(
            rows, tokens, dtype=torch.bool, device=device
        ),
    }
    for camera in CAMERAS[:-1]:
        batch[f"observation.images.{camera}"] = torch.rand(rows, 3, *size, device=device)
    return batch


def planning(network: Any, rounds: int, device: torch.device) -> dict[str, Any]:
    """Return how long a chunk takes each way, in turn in every round."""
    network.eval()
    batch = make_batch(network, 1, device)
    images, masks = network._preprocess_images(batch)
    config = network.config
    inputs = (
        images,
        masks,
        batch["observation.language.tokens"],
        batch["observation.language.attention_mask"],
        network.prepare_state(batch),
    )
    noise = torch.randn(1, config.chunk_size, config.max_action_dim, device=device)
    eager = network.model.sample_actions
    ways: dict[str, Callable[..., Any]] = {"eager": eager}
    if device.type == "cuda":
        ways["compiled"] = torch.compile(eager)
        ways["cuda graphs"] = torch.compile(eager, mode="reduce-overhead")
    found: dict[str, Any] = {}
    for name, way in list(ways.items()):
        problem = attempt(lambda way=way: [way(*inputs, noise=noise) for _ in range(WARM_UP + 1)])
        if problem:
            found[name] = {"problem": problem}
            del ways[name]
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(timed(lambda way=way: way(*inputs, noise=noise), device))
    for name, values in times.items():
        shares = [one / other for one, other in zip(values, times["eager"], strict=True)]
        found[name] = {
            "ms": 1e3 * statistics.median(values),
            "of_eager": statistics.median(shares),
        }
        print(f"planning, {name:<12} {found[name]['ms']:9.1f} ms {found[name]['of_eager']:6.2f}")
    return found


def training(network: Any, arguments: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Return rows per second and peak memory of each way to train."""
    found: dict[str, Any] = {}
    precision = "bfloat16" if device.type == "cuda" else "float32"
    for mode in ("lora", "expert"):
        for again in (False, True):
            name = f"{mode}{', checkpointed' if again else ''}"
            tuning = Tuning(mode=mode, precision=precision, checkpoint_gradients=again)  # type: ignore[arg-type]
            if not again:
                network.model.gradient_checkpointing_disable()
            result: dict[str, Any] = {}
            problem = attempt(
                lambda t=tuning, r=result: r.update(train(network, t, arguments, device))
            )
            found[name] = {"problem": problem} if problem else result
            if not problem:
                print(
                    f"training, {name:<21} {result['rows_per_s']:7.2f} rows/s, "
                    f"{result['trained']:,} weights, peak {result['peak_mb']:,.0f} MB"
                )
    return found


def train(
    network: Any, tuning: Tuning, arguments: argparse.Namespace, device: torch.device
) -> dict[str, float]:
    """Train some steps and return how it went."""
    tuning = apply_tuning(network, tuning)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    settings = OptimizationConfig(
        learning_rate=1e-5, weight_decay=0.01, grad_clip=1.0, ema_decay=0.99
    )
    optimization = Optimization(Trained(network), settings)  # type: ignore[arg-type]
    batch = make_batch(network, arguments.batch, device)
    mask = torch.ones(batch["action"].shape[:2], dtype=torch.bool, device=device)

    def step() -> None:
        with computing(network, tuning):
            loss = row_losses(network, batch, mask).mean()
        if optimization.update(loss, 1e-5).skipped:
            raise FloatingPointError("the loss is not finite")

    for _ in range(WARM_UP):
        step()
    times = [timed(step, device) for _ in range(arguments.steps)]
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    return {
        "rows_per_s": arguments.batch / statistics.median(times),
        "trained": count(trained(network)),
        "peak_mb": peak / MB,
    }


def timed(work: Callable[[], Any], device: torch.device) -> float:
    """Return how long some work takes on the device [s]."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def attempt(work: Callable[[], Any]) -> str:
    """Do some work; return why it failed, or nothing: one way must not hide the others."""
    try:
        work()
    except Exception as error:  # compilers and drivers raise their own
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
    return ""


def problems(part: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what failed."""
    return [f"{name}: {one['problem']}" for name, one in part.items() if "problem" in one]


def name_of(device: torch.device) -> str:
    """Return what the device is called."""
    return torch.cuda.get_device_name() if device.type == "cuda" else "cpu"


if __name__ == "__main__":
    sys.exit(main())
