"""The episodes of one bag as a listing shows them: a continuous recording holds many."""

from dataclasses import replace

from so101.clock import seconds
from so101.data.episodes.episode_reader import EpisodeReader
from so101.data.labels.labels import who_said
from so101.data.stores.store_entry import EpisodeEntry
from so101.errors import ConfigError


def inner_entries(reader: EpisodeReader, entry: EpisodeEntry) -> list[EpisodeEntry]:
    """Return one entry per episode of a bag, in the order in which they ran.

    Args:
        reader: Of the bag.
        entry: Of the bag.

    Raises:
        BagError: The bag holds no robot, or its messages contradict themselves.
    """
    return [
        replace(
            entry,
            facts=recorded.facts,
            outcome=reader.outcome(number),
            rater=who_said(recorded.outcome, reader.said(number)),
            duration_s=seconds(recorded.end_ns - recorded.start_ns),
            messages=-1,
        )
        for number, recorded in enumerate(reader.segments)
    ]


def find_inner(reader: EpisodeReader, episode: str) -> int:
    """Return the place of an episode in a bag.

    Args:
        reader: Of the bag.
        episode: Its id; empty for the only one.

    Raises:
        ConfigError: The bag does not hold it, or holds several and none is named.
        BagError: The bag holds no robot, or its messages contradict themselves.
    """
    ids = [recorded.facts.id for recorded in reader.segments]
    found = [place for place, one in enumerate(ids) if episode in ("", one)]
    if len(found) != 1:
        what = f"{len(found)} are called {episode!r}" if episode else "say which: --of ID"
        raise ConfigError(f"{reader.path}: holds {len(ids)} episodes, {what}")
    return found[0]
