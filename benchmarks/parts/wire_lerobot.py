"""LeRobot's own PolicyServer over gRPC, with a policy that plans the same chunk every time.

Only `_predict_action_chunk` is replaced, by the constant chunk as the list of timed actions it
returns: no preprocessing, no network. Its pause until ``inference_latency`` is over is switched
off. The client does what LeRobot's does: it pickles a timed observation, sends it in pieces, and
has a thread that always waits for actions. The server has one client at a time: whoever waits for
actions gets those of anybody's observation.
"""

import logging
import pickle
import queue
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import torch
from contender import CHUNK, Ask, Payload, answer_commands, serve_until_told
from lerobot.async_inference.configs import PolicyServerConfig
from lerobot.async_inference.helpers import TimedAction, TimedObservation
from lerobot.async_inference.policy_server import PolicyServer
from lerobot.transport import services_pb2, services_pb2_grpc
from lerobot.transport.utils import grpc_channel_options, send_bytes_in_chunks

ACTIONS = [torch.from_numpy(row.copy()) for row in CHUNK]
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


class ConstantServer(PolicyServer):  # type: ignore[misc]
    """LeRobot's server without a policy."""

    def _predict_action_chunk(self, observation_t: Any) -> list[Any]:
        start, step = observation_t.get_timestamp(), observation_t.get_timestep()
        self.last_processed_obs = observation_t
        return [
            TimedAction(timestamp=start + i / 30, timestep=step + i, action=action)
            for i, action in enumerate(ACTIONS)
        ]


def serve() -> None:
    """Serve until told."""
    config = PolicyServerConfig(inference_latency=0.0)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    services_pb2_grpc.add_AsyncInferenceServicer_to_server(ConstantServer(config), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    serve_until_told(port)


class Asker:
    """Asks on one port after the other, with one connection at a time."""

    def __init__(self, payload: Payload) -> None:
        """Connect later."""
        names = zip(JOINTS, payload.positions, strict=True)
        self._joints = {f"{name}.pos": float(position) for name, position in names}
        self._payload, self._channel, self._step = payload, None, 0

    def connect(self, port: int) -> Ask:
        """Leave the port before, and return what asks on this one."""
        if self._channel is not None:
            self._channel.close()
            time.sleep(PolicyServerConfig().obs_queue_timeout + 0.2)  # it still waits there
        options = grpc_channel_options(initial_backoff="0.0333s")
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)
        stub = services_pb2_grpc.AsyncInferenceStub(self._channel)
        stub.Ready(services_pb2.Empty())
        chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=receive, args=(stub, chunks), daemon=True).start()

        def ask(mode: str) -> None:
            stub.SendObservations(self._pieces(mode))
            torch.stack([action.get_action() for action in chunks.get(timeout=20.0)]).sum()

        return ask

    def _pieces(self, mode: str) -> Any:
        self._step += 1
        timed = TimedObservation(
            timestamp=time.time(),
            observation={**self._joints, **self._payload.images(mode), "task": "pick"},
            timestep=self._step,
            must_go=True,
        )
        return send_bytes_in_chunks(pickle.dumps(timed), services_pb2.Observation, silent=True)


def receive(stub: Any, chunks: "queue.SimpleQueue[Any]") -> None:
    """Wait for actions again and again, until the connection is closed."""
    try:
        while True:
            data = stub.GetActions(services_pb2.Empty()).data
            if data:
                chunks.put(pickle.loads(data))
    except (grpc.RpcError, ValueError):
        return


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    if sys.argv[1] == "serve":
        serve()
    else:
        answer_commands(Asker(Payload.read(Path(sys.argv[2]))).connect)
