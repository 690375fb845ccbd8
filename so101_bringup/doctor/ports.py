"""Checks of the serial ports: which adapters are there, who may open them, and the udev rule."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from so101_bringup.doctor.finding import Finding

RULE = Path(__file__).with_name("70-so101.rules")
"""The rule that this project ships."""
INSTALLED = Path("/etc/udev/rules.d") / RULE.name
INSTALL = (
    f"sudo install -m 644 {RULE} {INSTALLED.parent}/ && sudo udevadm control --reload && "
    "sudo udevadm trigger --subsystem-match=tty"
)


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A serial adapter as this user meets it.

    Attributes:
        device: Its path.
        is_ours: This process may read and write it.
        group: The group that may; empty where none may.
        users: Who else has it open.
    """

    device: str
    is_ours: bool
    group: str = ""
    users: tuple[str, ...] = ()


def check_ports(adapters: Sequence[Adapter], groups: Collection[str]) -> list[Finding]:
    """See which adapters are there, and whether they can be opened.

    Args:
        adapters: All that are plugged in.
        groups: Groups that this user is entered in; a session knows those of its login.
    """
    if not adapters:
        return [Finding("ports", "no serial adapter is plugged in; a simulated arm needs none")]
    return [_check_port(adapter, groups) for adapter in adapters]


def _check_port(adapter: Adapter, groups: Collection[str]) -> Finding:
    device = adapter.device
    if adapter.is_ours:
        used = f"in use by {', '.join(adapter.users)}" if adapter.users else "free"
        return Finding("ports", f"{device}: {used}")
    if not adapter.group:
        advice = "no group may open it; install the udev rule below"
    elif adapter.group in groups:
        advice = f"you are in the group {adapter.group} since your login: log out and in again"
    else:
        advice = f"sudo usermod -aG {adapter.group} $USER, then log out and in; or the udev rule"
    return Finding("ports", f"{device}: you may not open it", advice)


def check_rule(adapters: Sequence[Adapter], installed: str | None, shipped: str) -> Finding:
    """See whether the udev rule is needed, and there.

    Args:
        adapters: All that are plugged in.
        installed: Content of the installed rule; None where there is none.
        shipped: Content of this project's.
    """
    if installed == shipped:
        return Finding("udev rule", f"{INSTALLED} is there")
    if installed is not None:
        return Finding("udev rule", f"{INSTALLED} is not this version's", INSTALL)
    if any(not adapter.is_ours for adapter in adapters):
        return Finding("udev rule", "not installed, and a port cannot be opened", INSTALL)
    reason = "every port can be opened" if adapters else "there is no port to open"
    return Finding("udev rule", f"not installed, not needed: {reason}")
