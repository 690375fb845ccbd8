"""What the policy node says once a second of the images it decides on. Pure."""

from collections import Counter
from collections.abc import Sequence

from so101.acting import ActingLoop
from so101.events import OK, WARN, Event, encode
from so101.streams import JoinedTick
from so101.topics import image_topic

NAME = "policy_node: images"


class Seeing:
    """Reports how far apart the cameras' images are, and what was not decided on for it."""

    def __init__(self, cameras: Sequence[str], max_apart_s: float) -> None:
        """Have seen nothing.

        Args:
            cameras: Ids of the cameras that an observation needs.
            max_apart_s: An image this much older than another camera's is left out [s].
        """
        self._topics = {camera: image_topic(camera).name for camera in cameras}
        self._max_apart_s = max_apart_s
        self._apart_ns = 0
        self._told: Counter[str] = Counter()

    def note(self, joined: JoinedTick) -> None:
        """Take an observation that was decided on."""
        stamps = [joined.stamps_ns[topic] for topic in self._topics.values()]
        self._apart_ns = max(self._apart_ns, max(stamps) - min(stamps))

    def report(self, loop: ActingLoop, stamp_ns: int) -> Event:
        """Return the report; it warns where something was left out since the last one.

        Args:
            loop: Counts.
            stamp_ns: Now [ns].
        """
        values = {"most apart [ms]": encode(round(self._apart_ns / 1e6, 1))}
        lost: Counter[str] = Counter()
        for camera, topic in self._topics.items():
            values[f"{topic}: skewed"] = encode(loop.skewed[camera])
            values[f"{topic}: missing"] = encode(loop.missing[camera])
            limit_ms = 1e3 * self._max_apart_s
            lost[f"{camera} is more than {limit_ms:.0f} ms behind"] = loop.skewed[camera]
            lost[f"{camera} has no image"] = loop.missing[camera]
        fresh, self._told, self._apart_ns = lost - self._told, lost, 0
        message = "; ".join(f"{words}: {count} ticks left out" for words, count in fresh.items())
        return Event(
            stamp_ns=stamp_ns,
            name=NAME,
            message=message or "as they should be",
            values=values,
            level=WARN if fresh else OK,
        )
