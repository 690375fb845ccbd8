"""A node's dataclass is its parameter list; whatever does not fit it stops the node."""

from dataclasses import dataclass, field

import pytest

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter

from so101.config import option
from so101.errors import ConfigError
from so101.ros.params import check_files, declare, defaults


@dataclass(frozen=True, kw_only=True)
class Camera:
    rate_hz: float = option(30.0, "Frames per second.", range=(1.0, 60.0))


@dataclass(frozen=True, kw_only=True)
class Params:
    speed: float = option(1.0, "Playback factor.", range=(0.1, 4.0))
    horizon: int = option(16, "Points in a chunk.", range=(1, 100))
    seed: int = option(0, "Seed of the noise.", range=(0, float("inf")))
    mode: str = option("state", "What the policy sees.", choices=("state", "cameras"))
    cameras: tuple[str, ...] = option((), "Camera ids.")
    gains: tuple[float, ...] = option((1.0, 2.0), "One per joint.")
    is_paced: bool = option(False, "Follow the wall clock.")
    camera: Camera = field(default_factory=Camera)


def overrides(**values):
    return [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]


def test_defaults(make_node):
    assert declare(make_node("a"), Params) == Params()


def test_given_values_arrive_typed(make_node):
    given = overrides(
        speed=2, mode="cameras", cameras=["wrist"], gains=[1.0, 0.5], camera__rate_hz=15.0
    )
    params = declare(make_node("a", parameter_overrides=given), Params)
    assert params == Params(
        speed=2.0,
        mode="cameras",
        cameras=("wrist",),
        gains=(1.0, 0.5),
        camera=Camera(rate_hz=15.0),
    )
    assert isinstance(params.speed, float)


def test_an_empty_text_alone_stands_for_an_empty_list(make_node):
    """Neither launch nor the command line can pass an empty list."""
    node = make_node("a", parameter_overrides=overrides(cameras=[""]))
    assert declare(node, Params).cameras == ()


def test_ros_sees_value_documentation_range_and_read_only(make_node):
    node = make_node("a", parameter_overrides=overrides(horizon=8))
    declare(node, Params)
    assert node.get_parameter("horizon").value == 8
    assert node.get_parameter("camera.rate_hz").value == 30.0
    descriptor = node.describe_parameter("horizon")
    assert descriptor.description == "Points in a chunk."
    assert descriptor.read_only
    assert (descriptor.integer_range[0].from_value, descriptor.integer_range[0].to_value) == (
        1,
        100,
    )
    assert not node.set_parameters([Parameter("horizon", value=9)])[0].successful
    assert node.describe_parameter("mode").additional_constraints == "state, cameras"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"spead": 1.0}, "unknown key 'spead', did you mean 'speed'?"),
        ({"camera__rate": 1.0}, "camera: unknown key 'rate', did you mean 'rate_hz'?"),
        ({"speed": 9.0}, "speed: 9.0 is outside 0.1..4"),
        ({"speed": float("nan")}, "speed: nan is not finite"),
        ({"gains": [1.0, float("inf")]}, "gains[1]: inf is not finite"),
        ({"horizon": 1.5}, "horizon: expected int, got 1.5"),
        ({"horizon": True}, "horizon: expected int, got True"),
        ({"mode": "stat"}, "mode: 'stat' is not one of state, cameras"),
        ({"camera": 1.0, "camera__rate_hz": 1.0}, "a value and a section"),
    ],
)
def test_a_value_that_does_not_fit_names_node_and_key(make_node, values, message):
    node = make_node("picky", parameter_overrides=overrides(**values))
    with pytest.raises(ConfigError) as caught:
        declare(node, Params)
    assert message in str(caught.value)


def test_ros_own_parameters_are_not_unknown(make_node):
    given = overrides(use_sim_time=True, qos_overrides__x=1)
    node = make_node("a", parameter_overrides=given)
    assert declare(node, Params) == Params()
    assert node.get_parameter("use_sim_time").value is True


def test_defaults_are_listed_with_dotted_names():
    assert defaults(Params)["camera.rate_hz"] == 30.0
    assert defaults(Params)["cameras"] == ()


@pytest.mark.case(45)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n  ros__parameters:\n    x: 1\n    x: 2\n", "line 4: duplicate key 'x'"),
        ("a:\n  ros__parameters: {x: .nan}\n", "x: nan is not finite"),
        ("a:\n  ros__parameters: {x: [1.0, .inf]}\n", "x: inf is not finite"),
        ("a: {x: 1}\n", "expected a mapping named ros__parameters"),
        ("[1]\n", "expected node names"),
        ("a: [\n", "expected the node content"),
    ],
)
def test_files_are_read_strictly(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        check_files(["node", "--ros-args", "--params-file", str(path)])
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
