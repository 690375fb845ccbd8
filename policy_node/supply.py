"""Where the next policy comes from: checkpoints that are announced, or a server. No ROS."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from policy_node.loader import CheckpointLoader, Loaded, Refused
from policy_node.params import PolicyParams
from policy_node.part import PartConfig
from policy_node.succession import Succession
from so101.errors import ConfigError, SessionError

if TYPE_CHECKING:
    from policy_node.served import PolicyServer


class Supply(Protocol):
    """Finds policies, tries them, and lets one act after the other.

    Attributes:
        succession: Who acts, and who waits.
    """

    succession: Succession

    def announce(self, path: Path, sha256: str = "") -> None:
        """Take note of a checkpoint that is wanted from now on."""
        ...

    def reload(self) -> str:
        """Look at the newest one again; say what happens.

        Raises:
            SessionError: There is nothing to look at yet.
        """
        ...

    def look(self) -> str:
        """Line up what was found; return why it must not drive, or nothing."""
        ...

    def on_refusal(self) -> None:
        """Find out whether the policy in use was refused for good."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class CheckpointSupply:
    """Loads the checkpoints that others announce."""

    def __init__(self, loader: CheckpointLoader) -> None:
        """Begin with no policy."""
        self.succession = Succession()
        self._loader = loader

    def announce(self, path: Path, sha256: str = "") -> None:
        """Load a checkpoint unless it acts or waits already."""
        live = self.succession.live
        if self.succession.announce(path, sha256):
            self._loader.want(path, None if live is None else live.policy)

    def reload(self) -> str:
        """Load the newest checkpoint again; see `Supply.reload`."""
        newest = self.succession.newest
        if newest is None:
            raise SessionError("no checkpoint was announced yet")
        self.announce(Path(newest))
        return f"loading {newest}"

    def look(self) -> str:
        """Line up what was loaded; see `Supply.look`."""
        answer = self._loader.take()
        if answer is None or not self.succession.is_wanted(answer):
            return ""  # another one was announced meanwhile
        if isinstance(answer, Refused):
            return answer.problem
        self.succession.line_up(answer)
        return ""

    def on_refusal(self) -> None:
        """Do nothing: a checkpoint that was loaded stays what it is."""

    def close(self) -> None:
        """Do nothing: the loader ends with the process."""


class ServerSupply:
    """Asks a server, and follows it when it has other weights.

    While the server goes on with the old ones, the newcomer waits for the end of the episode. When
    it refuses to, the policy in use steps down, and with it ends its episode.
    """

    def __init__(self, server: "PolicyServer") -> None:
        """Begin with no policy."""
        self.succession = Succession()
        self._server = server
        self._is_refused = False

    def announce(self, path: Path, sha256: str = "") -> None:
        """Refuse what a server is to decide.

        Raises:
            SessionError: Always.
        """
        raise SessionError(f"{path}: a server says which policy acts here")

    def reload(self) -> str:
        """Look again what the server has."""
        self._server.want()
        return "asking the server"

    def look(self) -> str:
        """Line up what the server has; see `Supply.look`."""
        answer = self._server.take()
        if answer is None:
            return ""
        if isinstance(answer, Refused):
            return answer.problem
        live = self.succession.live
        if live is not None and live.sha256 == answer.sha256:
            self._keep(live, answer)
        else:
            self._line_up(answer)
        return ""

    def on_refusal(self) -> None:
        """Look again: the server may have other weights."""
        if not self._is_refused:
            self._is_refused = True
            self._server.want()

    def close(self) -> None:
        """End every connection."""
        self._server.close()
        for one in (self.succession.live, self.succession.withdraw()):
            if one is not None:
                one.close()

    def _keep(self, live: Loaded, answer: Loaded) -> None:
        """Go on with the weights in use; whoever waits has others than the server has now."""
        answer.close()
        if (waiting := self.succession.withdraw()) is not None:
            waiting.close()
        self._is_refused = False

    def _line_up(self, answer: Loaded) -> None:
        if (waiting := self.succession.withdraw()) is not None:
            waiting.close()
        if self._is_refused and (live := self.succession.live) is not None:
            self.succession.step_down()
            self.succession.withdraw()
            live.close()
        self.succession.line_up(answer)
        self._is_refused = False


def make_supply(params: PolicyParams, config: PartConfig) -> Supply:
    """Return where the node's parameters say that its policy comes from.

    Raises:
        ConfigError: They name both a checkpoint and a server, or the token cannot be used.
    """
    if not params.server:
        return CheckpointSupply(CheckpointLoader(params.cameras, config, params.aux))
    if params.checkpoint:
        raise ConfigError(
            f"checkpoint={params.checkpoint!r}, but server={params.server!r}: choose one"
        )
    from policy_node.served import PolicyServer, ServerAddress  # only who asks a server pays
    from so101.policies.remote.server.access import read_token

    path = params.server_token_file
    address = ServerAddress(
        url=params.server,
        token=read_token(Path(path).expanduser() if path else None) or "",
        ca=Path(params.server_ca).expanduser() if params.server_ca else None,
        deadline_s=params.inference_timeout,
    )
    return ServerSupply(PolicyServer(address, params.cameras, config, params.aux))
