"""Which policy acts, and which one takes over between two episodes. Pure.

Only what was announced last ever takes over: a checkpoint that is promoted and taken back while it
loads, or while an episode runs, is dropped.
"""

from pathlib import Path

from policy_node.loader import Loaded, Refused


class Succession:
    """Goes from policy to policy.

    Attributes:
        live: The policy that acts; None before the first.
        newest: Directory of the checkpoint that was announced last, or the server's address.
    """

    def __init__(self) -> None:
        """Begin with no policy."""
        self.live: Loaded | None = None
        self.newest: Path | str | None = None
        self._next: Loaded | None = None

    def announce(self, path: Path | str, sha256: str = "") -> bool:
        """Take note of the checkpoint that is wanted from now on.

        Args:
            path: Its directory, or the server's address.
            sha256: Of its weights, empty when it is not known.

        Returns:
            Whether it has to be loaded: not when it acts or waits already.
        """
        self.newest = path
        if self._next is not None and self._next.path != path:
            self._next = None
        acts = self.live is not None and sha256 == self.live.sha256
        waits = self._next is not None and sha256 == self._next.sha256
        return not (acts or waits)

    def is_wanted(self, answer: Loaded | Refused) -> bool:
        """Tell whether what the loader says is on the checkpoint that was announced last."""
        return answer.path == self.newest

    def line_up(self, loaded: Loaded) -> None:
        """Let a policy wait for the end of the episode."""
        self._next = loaded

    def withdraw(self) -> Loaded | None:
        """Let nobody wait any more; return who did."""
        waiting, self._next = self._next, None
        return waiting

    def take_over(self) -> Loaded | None:
        """Between two episodes: let the policy that waits act, and return it; None for none."""
        successor = self.withdraw()
        if successor is not None:
            if self.live is not None:
                self.live.close()
            self.live = successor
        return successor

    def step_down(self) -> None:
        """Take the policy out of an episode that is not its own; it, or who waits, acts again."""
        self._next, self.live = self._next or self.live, None
