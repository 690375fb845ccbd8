"""A reading with two levels, and its words. Pure.

A level that was reached is left only when the reading is back by some, so that noise at a bound
does not switch anything on and off.
"""


class Gauge:
    """Says how far a reading is: fine, worth a warning, or a reason to pause.

    Attributes:
        level: 0 fine, 1 warned of, 2 a reason to begin no episode.
    """

    def __init__(
        self,
        name: str,
        unit: str,
        bounds: tuple[float, float],
        relief: float,
        *,
        is_low: bool = False,
    ) -> None:
        """Begin at fine.

        Args:
            name: What is read, and of which joint.
            unit: Of the reading, for people.
            bounds: Where levels 1 and 2 begin; equal where there is nothing between them.
            relief: How far back from a bound its level ends, not negative.
            is_low: Low readings are the bad ones.
        """
        self.level = 0
        self._name, self._unit = name, unit
        self._sign = -1.0 if is_low else 1.0
        self._bounds = tuple(self._sign * bound for bound in bounds)
        self._relief = relief
        self._reached = ""

    def note(self, value: float) -> None:
        """Take a reading; one that is not a number changes nothing."""
        before, signed = self.level, self._sign * value
        while self.level < len(self._bounds) and signed >= self._bounds[self.level]:
            self.level += 1
        while self.level > 0 and signed < self._bounds[self.level - 1] - self._relief:
            self.level -= 1
        if self.level == len(self._bounds) > before:
            self._reached = f"{value:.3g}{self._unit}"

    @property
    def words(self) -> str:
        """Why there has to be a pause, and until when; the same words as long as it lasts."""
        if self.level < len(self._bounds):
            return ""
        end = self._sign * (self._bounds[-1] - self._relief)
        side = "below" if self._sign > 0.0 else "above"
        return f"{self._name} reached {self._reached}; going on {side} {end:.3g}{self._unit}"
