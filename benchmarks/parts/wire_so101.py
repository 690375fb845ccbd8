"""This project's server and client, with a policy that plans the same chunk every time."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from contender import CAMERAS, CHUNK, HORIZON, Ask, Payload, answer_commands, serve_until_told

from so101.action import ActionChunk, ActionSpace
from so101.arrays import frozen
from so101.observation import Observation
from so101.policies.policy import Inference
from so101.policies.remote.client.client import RemotePolicy
from so101.policies.remote.server.config import ServerConfig
from so101.policies.remote.server.hosting import HostedServer
from so101.policies.remote.server.inference import Served
from so101.policies.remote.server.server import PolicyServer
from so101.spec import PolicySpec

SPEC = PolicySpec(
    cameras=CAMERAS, image_size=(224, 224), action_space=ActionSpace(horizon=HORIZON)
)


class ConstantPolicy:
    """Plans the same chunk whatever it sees."""

    spec = SPEC
    noise_shape = ()

    def infer(self, observation: Observation, **asked: Any) -> Inference:
        """Return the chunk."""
        chunk = ActionChunk(stamp_ns=observation.stamp_ns, positions=frozen(CHUNK))
        return Inference(chunk=chunk, native_action=chunk.positions)

    def reset(self) -> None:
        """Do nothing."""


def serve() -> None:
    """Serve until told."""
    served = Served(policy=ConstantPolicy(), sha256="0" * 64)
    with HostedServer(PolicyServer(served, ServerConfig(port=0))) as hosted:
        serve_until_told(hosted.server.port)


def connect_with(payload: Payload, port: int) -> Ask:
    """Return what asks our server."""
    policy = RemotePolicy.connect(f"ws://127.0.0.1:{port}")
    at_rest = np.zeros(len(payload.positions))
    seen = Observation(
        stamp_ns=0,
        positions=payload.positions,
        velocities=at_rest,
        effort=at_rest,
        command=payload.positions,
        task="pick",
        images=payload.pixels,
    )
    number = 0

    def ask(mode: str) -> float:
        nonlocal number
        number += 1
        jpegs = payload.jpegs if mode == "jpeg" else {}
        inference = policy.infer(replace(seen, stamp_ns=number, jpegs=jpegs))
        inference.chunk.positions.sum()
        return policy.timings_ms["decode"]

    return ask


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        asked = Payload.read(Path(sys.argv[2]))
        answer_commands(lambda port: connect_with(asked, port))
