"""Waits for a session's last word, or a topic's first, in an event loop of somebody else."""

import asyncio
import math
from typing import Any

from so101.errors import SessionError
from so101.events import EpisodeEvent
from so101.ros.client import GraphClient
from so101.topics import EPISODE, JOINT_STATE, Topic
from so101_bringup.display import Display


async def session_end(namespace: str) -> bool:
    """Wait until the session of a running graph is over.

    Args:
        namespace: Namespace of the graph.

    Returns:
        Whether it has ended; False when this was cancelled. launch cancels what it no longer
        needs, and takes a cancelled task for an error.

    Raises:
        SessionError: The session was stopped before it was done; the message is its summary.
    """
    client = GraphClient("so101_launch", namespace)
    display = Display({})
    try:
        await asyncio.to_thread(_follow, client, display)
    except asyncio.CancelledError:
        client.spinner.stop()
        return False
    if display.summary is not None and not display.is_complete:
        raise SessionError(display.summary)
    return display.is_complete


async def first_message(namespace: str, topic: str) -> bool:
    """Wait for the first joint states of a topic.

    Args:
        namespace: Namespace of the graph.
        topic: Name of the topic.

    Returns:
        Whether it has come; False when this was cancelled, as in `session_end`.
    """
    client = GraphClient("so101_launch", namespace)
    heard: list[Any] = []
    try:
        await asyncio.to_thread(_hear, client, topic, heard)
    except asyncio.CancelledError:
        client.spinner.stop()
        return False
    return bool(heard)


def _hear(client: GraphClient, topic: str, heard: list[Any]) -> None:
    with client:
        client.listen(Topic(name=topic, type=JOINT_STATE, doc="awaited"), heard.append)
        client.spinner.spin_until(lambda: bool(heard), math.inf)


def _follow(client: GraphClient, display: Display) -> None:
    def read(event: EpisodeEvent) -> None:
        display.on_episode(event)

    with client:
        client.follow(EPISODE, EpisodeEvent, read)
        client.spinner.spin_until(lambda: display.summary is not None, math.inf)
