"""docs/interfaces.md has every topic, service and node; docs/parameters.md every parameter."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from so101.ros.params import defaults
from so101.services import ACTIONS, SERVICES
from so101.topics import TOPICS, aux_topic, camera_info_topic, image_topic, raw_image_topic
from so101_bringup.parameters import params_class

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "interfaces.md").read_text(encoding="utf-8")
PARAMETERS = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
NODES = sorted(path.parent.name for path in ROOT.glob("*_node/params.py"))
ALL_TOPICS = (
    *TOPICS,
    image_topic("<camera>"),
    raw_image_topic("<camera>"),
    camera_info_topic("<camera>"),
    aux_topic("<name>"),
)


def rows(title, text=TEXT):
    """Return the rows of the first table below a heading, keyed by the name in backquotes."""
    section = re.split(rf"^## {title}$", text, flags=re.MULTILINE)[1]
    section = re.split(r"^##", section, flags=re.MULTILINE)[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("| `")
    ]
    names = [row[0].strip("`") for row in cells]
    assert len(set(names)) == len(names), "a name is documented twice"
    return dict(zip(names, cells, strict=True))


@pytest.mark.parametrize("topic", ALL_TOPICS, ids=lambda topic: topic.name)
def test_every_topic_is_documented_as_it_is(topic):
    _, kind, latched, bag, source, meaning = rows("Topics")[topic.name]
    assert kind == topic.type
    assert latched == ("latched" if topic.is_latched else "")
    assert bag == ("bag" if topic.is_recorded else "")
    assert source and meaning


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.name)
def test_every_service_is_documented_as_it_is(service):
    _, kind, meaning = rows("Services")[service.name]
    assert kind == service.type
    assert meaning


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_every_action_is_documented_as_it_is(action):
    _, kind, meaning = rows("Actions")[action.name]
    assert kind == action.type
    assert meaning


def test_nothing_else_is_documented():
    assert set(rows("Actions")) == {action.name for action in ACTIONS}
    assert set(rows("Topics")) == {topic.name for topic in ALL_TOPICS}
    assert set(rows("Services")) == set(SERVICES)


def test_every_node_is_documented():
    found = rows("Parameters")
    assert set(found) == set(NODES)
    for node, (_, file, meaning) in found.items():
        assert file.strip("`") == f"config/{node}.yaml"
        assert (ROOT / file.strip("`")).exists() and meaning


@pytest.mark.parametrize("node", NODES)
def test_every_parameter_is_documented_and_no_other(node):
    """Run tools/write_config.py when this fails."""
    found = rows(node, PARAMETERS)
    expected = defaults(params_class(node))
    assert set(found) == set(expected)
    for name, (_, default, meaning) in found.items():
        assert json.loads(default.strip("`")) == json.loads(json.dumps(expected[name]))
        assert meaning


def test_the_page_of_parameters_is_written_by_its_tool():
    """Run tools/write_config.py when this fails."""
    path = ROOT / "tools" / "write_config.py"
    spec = importlib.util.spec_from_file_location("write_config", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.parameters_text() == PARAMETERS
    assert re.findall(r"^## (.*)$", PARAMETERS, re.MULTILINE) == NODES
