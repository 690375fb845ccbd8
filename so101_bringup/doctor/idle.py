"""Check of recorded episodes: how much of each is the arm standing still?

Idle ticks are those that training leaves out (`so101.data.training.trimming`): a policy that
learns from them learns to wait.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from so101.data.episodes.episode_reader import EpisodeReader
from so101.data.training.trimming import TrimConfig, kept_ticks
from so101.episode import Episode, Outcome
from so101.errors import BagError
from so101_bringup.doctor.finding import Finding

MOST = 0.5
"""More of an episode than this is not worth training on [share]."""
_SHOWN = 3


def idle_share(episode: Episode) -> float:
    """Return the share of an episode's ticks in which nothing is about to move."""
    is_kept = kept_ticks(episode.actions, TrimConfig())
    return 1.0 - float(is_kept.mean()) if len(is_kept) else 0.0


def read_shares(
    bags: Sequence[Path], read: Callable[[Path], EpisodeReader] = EpisodeReader
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the idle share of every episode, and why others cannot be read, by episode.

    Discarded episodes are left out: nobody trains on them.

    Args:
        bags: What is read.
        read: Opens a bag.
    """
    shares: dict[str, float] = {}
    refused: dict[str, str] = {}
    for bag in bags:
        try:
            episodes, bad = read(bag).readable()
        except BagError as error:
            refused[bag.name] = str(error)
            continue
        refused |= bad
        for episode in episodes:
            if episode.outcome is not Outcome.DISCARDED:
                shares[episode.facts.id] = idle_share(episode)
    return shares, refused


def check_idle(shares: Mapping[str, float], refused: Mapping[str, str]) -> list[Finding]:
    """See that episodes are mostly motion, and can be read.

    Args:
        shares: Idle share by episode.
        refused: Why others cannot be read.
    """
    return [_check_shares(shares), *([_refusal(refused)] if refused else [])]


def _check_shares(shares: Mapping[str, float]) -> Finding:
    if not shares:
        return Finding("idle ticks", "no episode to look at")
    worst = sorted(shares, key=lambda name: -shares[name])
    text = (
        f"{len(shares)} episodes: {median(shares.values()):.0%} of the ticks without motion "
        f"(median), {shares[worst[0]]:.0%} in {worst[0]}"
    )
    too_many = [name for name in worst if shares[name] > MOST]
    if not too_many:
        return Finding("idle ticks", text, numbers=shares)
    advice = (
        f"more than {MOST:.0%} in {_listed(too_many)}: record them again without pauses, and "
        "discard these (so101 episodes label); training leaves idle ticks out unless trim.mode "
        "is off"
    )
    return Finding("idle ticks", text, advice, shares)


def _refusal(refused: Mapping[str, str]) -> Finding:
    first = next(iter(refused))
    text = f"cannot be read: {_listed([*refused])}; {refused[first]}"
    return Finding("episodes", text, "so101 episodes verify says more; recover mends cut-off bags")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
