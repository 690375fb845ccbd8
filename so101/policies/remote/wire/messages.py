"""What a client and a policy server say to each other: the messages of ``so101.v1``.

The server says `Hello` first. Then the client asks (`InferRequest`, `Reset`, `HealthRequest`) and
every request is answered once, by `Answer`, `Done`, `Health` or `Failure`, not always in order.
Only the values; how they become bytes is in ``protocol``. No sockets, no policy, no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from so101.action import ActionChunk, ChunkPrefix
from so101.arrays import Float32Array, FloatArray
from so101.observation import Observation
from so101.policies.remote.wire.msgpack_reader import MESSAGE_BYTES
from so101.spec import PolicySpec
from so101.version import VERSION

SUBPROTOCOL = "so101.v1"
"""Named in the websocket handshake. A change that an older peer would misread changes it."""

MAX_CAMERAS = 8
MAX_AUX = 16
Compressed = bytes | memoryview
"""A JPEG or PNG as a camera produced it."""


class Code(str, Enum):
    """Why a request was not answered. Peers decide by it; the text beside it is for people."""

    MALFORMED = "malformed"
    """The message breaks the protocol; the connection is closed after it."""
    REPLAYED = "replayed"
    """The request's id is not above the last one's."""
    EXPIRED = "expired"
    """It waited longer than its sender would wait."""
    SUPERSEDED = "superseded"
    """A newer request of the same connection took its place in the queue."""
    OBSERVATION = "observation"
    """The policy lacks an input, or cannot use it."""
    POLICY = "policy"
    """The policy failed, or its chunk is not finite."""
    STOPPING = "stopping"
    """The server is going down."""


@dataclass(frozen=True, kw_only=True)
class Hello:
    """The server's first message.

    Attributes:
        spec: What the policy expects and offers.
        checkpoint: sha256 of the weights it begins with; each answer names its own.
        noise_shape: Shape of the noise of one inference; () when there is none.
        message_bytes: Longest message the server reads.
        version: Of the server's software.
    """

    spec: PolicySpec
    checkpoint: str
    noise_shape: tuple[int, ...] = ()
    message_bytes: int = MESSAGE_BYTES
    version: str = VERSION


@dataclass(frozen=True, kw_only=True)
class InferRequest:
    """Please plan a chunk; see `so101.policies.policy.Policy.infer`.

    Attributes:
        id: Above that of every earlier request of the connection.
        observation: With the images that travel as pixels.
        timeout_ms: An answer later than this after the request's arrival is of no use. A span
            and not a time of day, because two machines' clocks need not agree.
        compressed: Camera id to the image that travels as it was produced.
        noise: Standard normal, shape `Hello.noise_shape`; None lets the server draw it.
        indicator: Advantage to ask for: 1 good, 0 bad; None leaves it open.
        guidance: How far to lean toward the indicator; None means 1.
        prefix: What the arm does until the chunk can arrive, and was about to do after it.
    """

    id: int
    observation: Observation
    timeout_ms: float
    compressed: Mapping[str, Compressed] = field(default_factory=dict)
    noise: Float32Array | None = None
    indicator: int | None = None
    guidance: float | None = None
    prefix: ChunkPrefix | None = None


@dataclass(frozen=True, kw_only=True)
class Reset:
    """The observation after this one begins a new episode."""

    id: int


@dataclass(frozen=True, kw_only=True)
class HealthRequest:
    """How is the server?"""

    id: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A planned chunk.

    Attributes:
        id: Of the request.
        checkpoint: sha256 of the weights that planned it.
        chunk: Joint positions [rad] with the observation's stamp. Finite.
        native_action: The network's own numbers behind the chunk. Shape (horizon, native).
        aux: Named arrays an algorithm may ask to be recorded.
        timings_ms: Time in the queue, in decoding images, in the policy, and from arrival to
            here: ``queue``, ``decode``, ``infer``, ``total`` [ms]; ``batch`` is how many
            requests were inferred together.
    """

    id: int
    checkpoint: str
    chunk: ActionChunk
    native_action: FloatArray
    aux: Mapping[str, Float32Array] = field(default_factory=dict)
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Done:
    """A request without an answer of its own was carried out."""

    id: int


@dataclass(frozen=True, kw_only=True)
class Health:
    """How the server is.

    Attributes:
        id: Of the request.
        checkpoint: sha256 of the weights that would plan the next chunk.
        uptime_s: Since it began to serve [s].
        connections: Peers that are connected.
        waiting: Requests that wait for the policy.
    """

    id: int
    checkpoint: str
    uptime_s: float
    connections: int
    waiting: int


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A request that was not answered. Never carries a traceback.

    Attributes:
        id: Of the request; -1 when it has none that can be read.
        code: Why.
        message: One line for people.
    """

    id: int
    code: Code
    message: str = ""


ClientMessage = InferRequest | Reset | HealthRequest
ServerMessage = Hello | Answer | Done | Health | Failure
