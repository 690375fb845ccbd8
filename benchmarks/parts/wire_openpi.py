"""openpi's client package and a server as openpi's: websockets in one event loop, its own msgpack.

The server is openpi's in everything that takes time: asyncio, no compression, no limit of size,
the policy in the event loop, arrays copied by ``openpi_client.msgpack_numpy``.
"""

import asyncio
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from contender import CHUNK, Ask, Payload, answer_commands, serve_until_told
from openpi_client import msgpack_numpy
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from websockets.asyncio.server import serve as serve_websockets


async def talk(websocket: Any) -> None:
    """Answer one client."""
    packer = msgpack_numpy.Packer()
    await websocket.send(packer.pack({}))
    async for data in websocket:
        began = time.monotonic()
        msgpack_numpy.unpackb(data)
        answer = {"actions": CHUNK, "server_timing": {"infer_ms": time.monotonic() - began}}
        await websocket.send(packer.pack(answer))


async def serve(on_port: Any) -> None:
    """Serve for ever."""
    async with serve_websockets(talk, "127.0.0.1", 0, compression=None, max_size=None) as server:
        on_port(server.sockets[0].getsockname()[1])
        await server.serve_forever()


def connect_with(payload: Payload, port: int) -> Ask:
    """Return what asks through openpi's package."""
    client = WebsocketClientPolicy("127.0.0.1", port)
    state = payload.positions.astype(np.float32)

    def ask(mode: str) -> None:
        images = {f"observation/{name}": image for name, image in payload.images(mode).items()}
        answer = client.infer({"observation/state": state, "prompt": "pick", **images})
        answer["actions"].sum()

    return ask


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        ports: list[int] = []
        is_there = threading.Event()

        def tell(port: int) -> None:
            """Take note of the port."""
            ports.append(port)
            is_there.set()

        threading.Thread(target=lambda: asyncio.run(serve(tell)), daemon=True).start()
        is_there.wait()
        serve_until_told(ports[0])
    else:
        asked = Payload.read(Path(sys.argv[2]))
        answer_commands(lambda port: connect_with(asked, port))
