"""Which rollouts and checkpoints belong to one round: all that began with one supervised policy.

A run whose demonstrations were added to after its groups is trained anew and has groups of its own
again, with the same numbers. A report is of the newest round; the others are named as left out.

Within a round a group may have been run again by another policy, as after a rollback: it belongs
to who acted in it last.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from so101_bringup.report.values import Attempt, LeftOut, Trained


class Round(NamedTuple):
    """The newest round of a run, and what is not of it."""

    rollouts: list[Attempt]
    checkpoints: list[Trained]
    left_out: list[LeftOut]


def newest_round(rollouts: Sequence[Attempt], checkpoints: Sequence[Trained]) -> Round:
    """Separate the newest round from the rest.

    What nobody can tell, because its checkpoint is gone, is taken to be of the newest.

    Args:
        rollouts: As recorded, oldest first; at least one.
        checkpoints: Of the run, in any order.
    """
    known = {one.sha256: one for one in checkpoints}
    newest = _beginning(rollouts[-1].facts.checkpoint, known)

    def is_other(sha256: str) -> bool:
        return bool(newest) and _beginning(sha256, known) not in ("", newest)

    kept = [one for one in rollouts if not is_other(one.facts.checkpoint)]
    others = [one for one in rollouts if is_other(one.facts.checkpoint)]
    # another supervised policy may have been tried and found wanting: it is part of the story
    shown = [one for one in checkpoints if not one.parent or not is_other(one.sha256)]
    reason = f"of an earlier round: it did not begin with {newest[:12]}"
    earlier = [LeftOut(name=one.facts.id, reason=reason) for one in others]
    standing, replaced = standing_rollouts(kept)
    return Round(standing, shown, [*earlier, *replaced])


def standing_rollouts(rollouts: Sequence[Attempt]) -> tuple[list[Attempt], list[LeftOut]]:
    """Separate what counts from what was run again, or will be.

    A group that another policy ran again is that policy's, and groups after it that were run
    before are to be run anew. Of several rollouts with one number the newest counts.

    Args:
        rollouts: Of one round, oldest first.
    """
    owner = {one.facts.group: one.facts.checkpoint for one in rollouts}
    newest = {(*_place(one), one.facts.checkpoint): one for one in rollouts}
    others = {
        one.facts.group for one in rollouts if one.facts.checkpoint != owner[one.facts.group]
    }
    begun: dict[int, int] = {}  # group that was run again to the place of its first own rollout
    for place, one in enumerate(rollouts):
        if one.facts.group in others and one.facts.checkpoint == owner[one.facts.group]:
            begun.setdefault(one.facts.group, place)
    kept: list[Attempt] = []
    left_out: list[LeftOut] = []
    for place, one in enumerate(rollouts):
        group, acting = one.facts.group, owner[one.facts.group]
        since = [number for number in begun if number < group and place < begun[number]]
        if one.facts.checkpoint != acting:
            reason = f"group {group} was run again by another policy, {acting[:12]}"
        elif since:
            reason = f"group {since[0]} was run again since, by another policy"
        elif newest[*_place(one), acting] is not one:
            reason = f"run again later, as {newest[*_place(one), acting].facts.id}"
        else:
            kept.append(one)
            continue
        left_out.append(LeftOut(name=one.facts.id, reason=reason))
    return kept, left_out


def _place(one: Attempt) -> tuple[int, int]:
    return one.facts.group, one.facts.rollout


def _beginning(sha256: str, known: Mapping[str, Trained]) -> str:
    """Return the supervised checkpoint that one descends from; empty where a link is missing."""
    seen = set()
    while sha256 in known and sha256 not in seen:
        seen.add(sha256)
        if not known[sha256].parent:
            return sha256
        sha256 = known[sha256].parent
    return ""
