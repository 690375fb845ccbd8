"""How often a program that dies is started again. Pure; supervisor and launch both ask it."""

from dataclasses import dataclass

USER_ERROR = 2
"""Exit code of a node that a person must put right: starting it again is pointless."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """When a program is given up.

    Attributes:
        most: Deaths in a row that are borne; one more is too many.
        stable_s: Whoever ran this long begins to count anew [s].
    """

    most: int = 5
    stable_s: float = 30.0


class Deaths:
    """Counts the deaths in a row of one program."""

    def __init__(self, patience: Patience | None = None) -> None:
        """Begin with none."""
        self._patience = patience or Patience()
        self.in_a_row = 0

    def are_too_many(self, exit_code: int, lived_s: float) -> bool:
        """Count a death and tell whether starting the program again is pointless.

        Args:
            exit_code: How it died; negative for a signal.
            lived_s: How long it ran [s].
        """
        self.in_a_row = 1 if lived_s > self._patience.stable_s else self.in_a_row + 1
        return exit_code == USER_ERROR or self.in_a_row > self._patience.most
