"""The table of topics and services is complete and consistent."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101 import topics
from so101.services import SERVICES, SET_BOOL, TRIGGER
from so101.topics import (
    CLOCK,
    TOPICS,
    Topic,
    aux_topic,
    camera_info_topic,
    image_topic,
    recorded_topics,
)

NAME = re.compile(r"[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)*")
CONSTANTS = {name: value for name, value in vars(topics).items() if isinstance(value, Topic)}
ids = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
id_lists = st.lists(ids, unique=True, max_size=4).map(tuple)


def test_every_constant_is_in_the_table_once():
    assert sorted(topic.name for topic in CONSTANTS.values()) == sorted(t.name for t in TOPICS)


def test_names_are_unique():
    names = [topic.name for topic in TOPICS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_topic_is_relative_typed_and_documented(topic):
    """A namespace gives a second robot; only the clock is one for all."""
    assert NAME.fullmatch(topic.name) or topic is CLOCK
    assert re.fullmatch(r"[a-z_]+/msg/[A-Za-z0-9]+", topic.type)
    assert topic.doc


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.name)
def test_a_service_is_relative_typed_and_documented(service):
    assert NAME.fullmatch(service.name)
    assert service.type in (TRIGGER, SET_BOOL)
    assert service.doc
    assert SERVICES[service.name] is service


@given(cameras=id_lists, aux=id_lists)
def test_a_bag_holds_every_recorded_topic_once(cameras, aux):
    recorded = recorded_topics(cameras, aux)
    names = [topic.name for topic in recorded]
    assert len(set(names)) == len(names)
    for camera in cameras:
        assert {image_topic(camera), camera_info_topic(camera)} <= {*recorded}
    assert {aux_topic(name) for name in aux} <= {*recorded}
    assert {topic for topic in TOPICS if topic.is_recorded} <= {*recorded}
    assert all(topic.is_recorded for topic in recorded)


def test_what_learners_join_on_is_recorded():
    names = {topic.name for topic in recorded_topics(("wrist",))}
    assert names >= {
        "joint_states",
        "joint_commands",
        "control_source",
        "episode",
        "reward",
        "label",
        "policy/info",
        "policy/joint_trajectory",
        "teleop/joint_trajectory",
        "simulation/objects",
        "wrist_camera/image_raw/compressed",
    }
