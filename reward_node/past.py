"""What a session finds in the episode store when it starts."""

from dataclasses import replace
from pathlib import Path

from reward_node.requests import PastEpisode
from so101.data.bags.bag_writer import PART
from so101.data.labels.labels import read_labels, resolve_advantage
from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.store_entry import EpisodeEntry
from so101.episode import EpisodeFacts, Outcome

PHASES = {"demo": "demonstrations", "eval": "evaluation", "group": "rollouts"}
"""Phase of an unfinished episode, by the first word of its id."""


def past_episodes(store: Path | None) -> tuple[PastEpisode, ...]:
    """Return every episode of a store, unfinished ones included; their ids are taken.

    Args:
        store: The store's directory; None, or one that does not exist yet, holds nothing.
    """
    if store is None or not store.is_dir():
        return ()
    found = [_of_entry(entry) for entry in EpisodeStore(store).episodes()]
    for part in sorted(store.glob(f"*{PART}")):
        name = part.name.removesuffix(PART).split("-", 2)[-1]
        facts = EpisodeFacts(id=name, phase=PHASES.get(name.split("-")[0], "manual"))
        found.append(PastEpisode(facts=facts, outcome=Outcome.INCOMPLETE))
    return tuple(found)


def _of_entry(entry: EpisodeEntry) -> PastEpisode:
    """Return an episode of a store; whatever the learner imitates counts as a demonstration."""
    facts, outcome = entry.facts, entry.outcome
    if entry.is_demonstration:
        facts = replace(facts, phase=PHASES["demo"])
        outcome = Outcome.SUCCESS
    advantage = None if entry.problem else resolve_advantage(read_labels(entry.path))
    return PastEpisode(
        facts=facts, outcome=outcome, duration_s=entry.duration_s, advantage=advantage
    )
