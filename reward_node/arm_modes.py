"""What the arm's modes mean for a session."""

ABLE = frozenset({"armed", "holding"})
"""Modes of the arm in which it can move."""

WAY_OUT = {
    "disarmed": "arm/arm",
    "estopped": "arm/recover, then arm/arm",
    "fault": "arm/recover, then arm/arm",
}
"""Services that bring the arm back from each mode in which it cannot move."""
