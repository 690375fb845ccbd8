"""The guide's own source, in place of teleop_node: a program that knows nothing of ours."""

import os
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
from integration import graphs
from integration.watching import Watch

from so101.data.episodes.episode_reader import read_episode
from so101.data.stores.episode_store import EpisodeStore
from so101.episode import SOURCE_CODES, ControlSource, Outcome
from so101_bringup.environment import clean_environment

EXAMPLE = graphs.ROOT / "examples" / "own_source.py"


@contextmanager
def example(domain):
    environment = {**clean_environment(os.environ), "ROS_DOMAIN_ID": str(domain)}
    process = subprocess.Popen([sys.executable, str(EXAMPLE)], env=environment)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_a_session_waits_for_it_follows_it_and_records_it(tmp_path, monkeypatch):
    """Without its answer to the roll no episode begins; its signs of life close the bag."""
    options = {"teleop": "joy", "elsewhere": ["teleop_node"], "demonstrations": 1}
    with graphs.running("record", tmp_path, **options) as graph, example(graph.domain):
        watch = Watch(graph.domain, monkeypatch)
        assert watch.until_control(ControlSource.TELEOP).device == "joy"
        began_at = watch.commands[-1][0]
        watch.until(lambda: abs(watch.commands[-1][0] - began_at) > 0.2)
        assert watch.client.call("episode/success") == "success"
        run = graph.wait()
        watch.close()
    assert run.code == 0, run.text
    (entry,) = EpisodeStore(tmp_path / "episodes").episodes()
    assert entry.custom_data["problem"] == ""  # had its signs ended, it would say so
    episode = read_episode(entry.path)
    assert episode.outcome is Outcome.SUCCESS
    is_led = episode.sources == SOURCE_CODES[ControlSource.TELEOP]
    assert is_led.mean() > 0.5
    assert np.isfinite(episode.wishes[is_led]).all()
