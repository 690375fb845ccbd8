"""What a check of the doctor found, and how it is printed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        name: What was looked at.
        text: What was found.
        advice: What to do; empty where all is fine.
        numbers: What it is judged by, for programs.
    """

    name: str
    text: str
    advice: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_fine(self) -> bool:
        """Nothing has to be done."""
        return not self.advice

    def to_mapping(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "name": self.name,
            "is_fine": self.is_fine,
            "text": self.text,
            "advice": self.advice,
            "numbers": dict(self.numbers),
        }

    def __str__(self) -> str:
        """Say it in a line, or in two with what to do."""
        verdict = "fine" if self.is_fine else "PROBLEM"
        line = f"{verdict:<8} {self.name:<14} {self.text}"
        return line if self.is_fine else f"{line}\n{'':<23} → {self.advice}"


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 0 where all is fine, 1 where something has to be done."""
    return int(any(not one.is_fine for one in findings))
