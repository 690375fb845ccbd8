"""How a policy is served: addresses, limits, and what openpi's keys mean."""

from dataclasses import dataclass, field
from typing import Literal

from so101.config import option
from so101.policies.remote.server.openpi_dialect import OpenpiKeys


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """How a policy is served."""

    host: str = option("127.0.0.1", "Address to bind to; others than loopback need a token.")
    port: int = option(8000, "TCP port; 0 for a free one.", range=(0, 65535))
    max_connections: int = option(64, "Robots that may be connected.", range=(1, 1000))
    max_batch: int = option(8, "Requests that are inferred together.", range=(1, 64))
    window_ms: float = option(
        2.0, "How long to wait for more when several wait already [ms].", range=(0.0, 100.0)
    )
    swap_rule: Literal["episode", "chunk"] = option(
        "chunk", "When a peer goes over to another checkpoint.", choices=("episode", "chunk")
    )
    max_versions: int = option(
        4, "Checkpoints alive at once while episodes run on older ones.", range=(2, 64)
    )
    openpi: OpenpiKeys = field(default_factory=OpenpiKeys)
