"""A job names its episodes and its whole configuration before anything is trained."""

from dataclasses import replace

import pytest
from factories import make_bag

from learner_node.planning import TrainingRequest, plan
from so101.data.stores.episode_store import EpisodeStore
from so101.errors import ConfigError, TrainingError
from so101.spec import PolicySpec

REQUEST = TrainingRequest(spec=PolicySpec(uses_objects=True), steps=12)


def test_only_wanted_outcomes_and_phases_are_used(setup):
    store, checkpoints, _ = setup
    successes = plan(replace(REQUEST, dataset={"outcomes": ["success"]}), store, checkpoints)
    assert len(successes.episodes) == 2
    with pytest.raises(ConfigError, match="no episodes"):
        plan(replace(REQUEST, phase="evaluation"), store, checkpoints)


def test_two_episodes_of_one_name_are_refused(setup):
    store, checkpoints, _ = setup
    make_bag(directory=store.root / "20260101-000009-e1", episode="e1", seed=9, cameras=())
    with pytest.raises(TrainingError, match="e1"):
        plan(REQUEST, store, checkpoints)


def test_links_make_one_store_of_two_arms(tmp_path):
    for arm in ("left", "right"):
        name = f"{arm}-demo-0000"
        bag = tmp_path / arm / f"20260101-000000-{name}"
        make_bag(directory=bag, episode=name, cameras=(), seed=len(arm), objects=1)
        (tmp_path / "both").mkdir(exist_ok=True)
        (tmp_path / "both" / bag.name).symlink_to(bag)
    job = plan(REQUEST, EpisodeStore(tmp_path / "both"), tmp_path / "checkpoints")
    assert [one.id for one in job.episodes] == ["left-demo-0000", "right-demo-0000"]
    assert len({one.sha256 for one in job.episodes}) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"algorithm": "sfd"}, "'sfd' is not one of sft"),
        ({"settings": {"batch": 4}}, "unknown key 'batch'"),
        ({"policy": {"widht": 4}}, "did you mean 'width'"),
        ({"dataset": {"trim": {"mode": "most"}}}, "'most' is not one of"),
    ],
)
def test_a_wrong_request_is_refused_by_name(setup, change, said):
    store, checkpoints, _ = setup
    with pytest.raises(ConfigError, match=said):
        plan(replace(REQUEST, **change), store, checkpoints)
