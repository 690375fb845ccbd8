"""How the arm is, once a second: what is warned of, and what lets no further episode begin. Pure.

What is a fault at once is judged in `hardware_node.vitals` and by the bus; here are the readings
that get worse slowly, or are worth a look before they do harm.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hardware_node.gauge import Gauge
from hardware_node.overload import MOST_OVERLOADS
from hardware_node.window import Second
from so101.events import OK, WARN
from so101.robot import JOINTS

HALF = 0.5
"""What is counted is fine again below this share of its bound."""

SHARE_RELIEF = 0.9
"""A current or load is fine again below this share of its bound."""

VOLTAGE_RELIEF = 2.0
"""A voltage is fine again this much above its bound [% of that at the start]."""


@dataclass(frozen=True, kw_only=True)
class HealthLimits:
    """Where health is judged.

    Attributes:
        voltage_dip: Least share of the voltage at the start; less is a fault.
        voltage_low: Share of the voltage at the start that is warned of.
        warm: Warned of [°C].
        hot: The arm is slow [°C].
        too_hot: The arm goes to rest [°C].
        relief: So much cooler than a bound its level ends [°C].
        current: Mean of a second [A].
        load: Mean of a second, share of the stall torque.
        bus_errors: Replies of a second that were lost or spoiled.
        late_ticks: Ticks of a second that were left out.
    """

    voltage_dip: float
    voltage_low: float
    warm: float
    hot: float
    too_hot: float
    relief: float
    current: float
    load: float
    bus_errors: float
    late_ticks: float


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What is counted since the node began.

    Attributes:
        bus_errors: Replies that were lost or spoiled; from 0 again with another bus.
        late_ticks: Ticks that were left out.
        overloads: Of each joint since the arm was armed. Length joints.
    """

    bus_errors: int = 0
    late_ticks: int = 0
    overloads: Sequence[int] = (0,) * len(JOINTS)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is to be said of the arm.

    Attributes:
        level: `OK` or `WARN`.
        pause: Why no episode may begin; empty when one may.
    """

    level: int = OK
    pause: str = ""


class ArmHealth:
    """Judges the arm's readings."""

    def __init__(self, limits: HealthLimits) -> None:
        """Know of nothing bad.

        Args:
            limits: Where health is judged.
        """

        def per_joint(name: str, unit: str, bound: float, relief: float) -> list[Gauge]:
            bounds = (bound, bound)
            return [Gauge(f"{joint}: {name}", unit, bounds, relief) for joint in JOINTS]

        heat = (limits.warm, limits.hot)
        self._heat = [
            Gauge(f"{joint}: temperature", " °C", heat, limits.relief) for joint in JOINTS
        ]
        low = 100.0 * limits.voltage_low
        self._voltage = [
            Gauge(
                f"{joint}: voltage", " % of the start's", (low, low), VOLTAGE_RELIEF, is_low=True
            )
            for joint in JOINTS
        ]
        back = 1.0 - SHARE_RELIEF
        self._current = per_joint("mean current", " A", limits.current, back * limits.current)
        load = 100.0 * limits.load
        self._load = per_joint("mean load", " % of its stall torque", load, back * load)
        bus, late = limits.bus_errors, limits.late_ticks
        self._bus = Gauge("bus: lost and spoiled replies", "/s", (bus, bus), HALF * bus)
        self._late = Gauge("arm loop: ticks left out", "/s", (late, late), HALF * late)
        self._before = Totals()
        self._looked_s: float | None = None

    @property
    def is_hot(self) -> bool:
        """Whether a servo got hot and has not cooled down since."""
        return any(gauge.level >= 2 for gauge in self._heat)

    @property
    def heat(self) -> str:
        """Which servos are hot, and until when; empty when none is."""
        return "; ".join(gauge.words for gauge in self._heat if gauge.words)

    def note_temperature(self, joint: int, celsius: float) -> None:
        """Take the temperature of a joint's servo [°C]; may be called from any thread."""
        self._heat[joint].note(celsius)

    def look(self, second: Second, totals: Totals, now_s: float) -> Judgement:
        """Judge what has come in since the last look.

        Args:
            second: Readings since then.
            totals: Counts.
            now_s: A clock that only goes forward [s].
        """
        for gauges, values in (
            (self._voltage, 100.0 * second.voltage_share),
            (self._current, second.current),
            (self._load, 100.0 * second.load),
        ):
            for gauge, value in zip(gauges, values.tolist(), strict=True):
                gauge.note(value)
        self._count(totals, now_s)
        reasons = [gauge.words for gauge in self._gauges() if gauge.words]
        reasons += _overloaded(totals.overloads)
        is_warned = reasons or any(gauge.level for gauge in self._gauges())
        return Judgement(level=WARN if is_warned else OK, pause="; ".join(reasons))

    def _gauges(self) -> Iterator[Gauge]:
        for gauges in (self._heat, self._voltage, self._current, self._load):
            yield from gauges
        yield from (self._bus, self._late)

    def _count(self, totals: Totals, now_s: float) -> None:
        before, since_s = self._before, self._looked_s
        self._before, self._looked_s = totals, now_s
        if since_s is None or now_s <= since_s:
            return
        span_s = now_s - since_s
        self._bus.note(_rise(before.bus_errors, totals.bus_errors) / span_s)
        self._late.note(_rise(before.late_ticks, totals.late_ticks) / span_s)


def _rise(before: int, after: int) -> int:
    """Return how many came; a count that went back began anew."""
    return after - before if after >= before else after


def _overloaded(counts: Sequence[int]) -> list[str]:
    """Return who was overloaded so often that the next time is a fault: a person has to look."""
    return [
        f"{joint}: overloaded {count} times; see what is in its way, then disarm and arm the arm"
        for joint, count in zip(JOINTS, counts, strict=True)
        if count >= MOST_OVERLOADS - 1
    ]
