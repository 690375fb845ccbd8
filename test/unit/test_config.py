"""Laws of the strict loader, and what bad configuration is told."""

import math
from dataclasses import dataclass, field
from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from so101.config import MAX_BYTES, from_mapping, load_yaml, option, parse_yaml, to_mapping
from so101.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inner:
    gain: float = option(1.0, "a gain", range=(0.0, 10.0))
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outer:
    steps: int = option(3, "a count", range=(1, 100))
    rate: float = 30.0
    is_on: bool = False
    mode: str = option("fast", "a choice", choices=("fast", "slow"))
    kind: Literal["a", "b"] = "a"
    level: Literal[1, 2] = 1
    limit: float | None = None
    size: tuple[int, int] = (0, 0)
    inner: Inner = field(default_factory=Inner)
    table: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Needy:
    must: str

    def __post_init__(self):
        if not self.must:
            raise ConfigError("must not be empty")


def load(text, cls=Outer):
    return from_mapping(cls, parse_yaml(text, "f.yaml"), "f.yaml")


finite = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(max_size=10)
outers = st.builds(
    Outer,
    steps=st.integers(1, 100),
    rate=finite,
    is_on=st.booleans(),
    mode=st.sampled_from(["fast", "slow"]),
    kind=st.sampled_from(["a", "b"]),
    level=st.sampled_from([1, 2]),
    limit=st.none() | finite,
    size=st.tuples(st.integers(), st.integers()),
    inner=st.builds(Inner, gain=st.floats(0, 10), names=st.lists(words, max_size=3).map(tuple)),
    table=st.dictionaries(words, finite, max_size=3),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@given(outers)
def test_a_configuration_and_its_mapping_are_an_inverse_pair(outer):
    assert from_mapping(Outer, to_mapping(outer), "f.yaml") == outer


@given(outers)
def test_a_configuration_survives_being_written_as_yaml(outer):
    assert load(yaml.safe_dump(to_mapping(outer))) == outer


def test_nothing_gives_the_defaults():
    assert load("") == load("{}") == Outer()


@given(key=st.sampled_from(list(Outer.__dataclass_fields__)), value=values)
def test_any_value_is_taken_as_what_it_is_or_refused_with_file_and_key(key, value):
    problem = ""
    try:
        outer = from_mapping(Outer, {key: value}, "f.yaml")
    except ConfigError as error:
        problem = str(error)
    if problem:
        assert problem.startswith(f"f.yaml: {key}")
    elif value is not None:
        taken = to_mapping(getattr(outer, key))
        assert isinstance(taken, dict) or taken == value or taken == float(value)


@pytest.mark.case(45)
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_with_the_file(text):
    problem = "f.yaml: "
    try:
        load(text)
    except ConfigError as error:
        problem = str(error)
    assert problem.startswith("f.yaml: ")


BAD = {
    "steps_: 1": "unknown key 'steps_', did you mean 'steps'?",
    "zzz: 1": "unknown key 'zzz'; known keys: steps, rate",
    "inner: {gian: 1.0}": "f.yaml: inner: unknown key 'gian', did you mean 'gain'?",
    "1: 2": "unknown key 1",
    "true: 2": "unknown key True",
    "null: 2": "unknown key None",
    "steps: 1\nrate: 2\nsteps: 3": "line 3: duplicate key 'steps'",
    "inner:\n  gain: 1\n  gain: 1": "line 3: duplicate key 'gain'",
    "table: {a: 1, a: 2}": "line 1: duplicate key 'a'",
    "rate: .nan": "rate: nan is not finite",
    "rate: .inf": "rate: inf is not finite",
    "rate: -.inf": "rate: -inf is not finite",
    "rate: 1e999": "rate: inf is not finite",
    "rate: nan": "rate: expected a number, got 'nan'",
    "table: {a: .nan}": "table: a: nan is not finite",
    "rate: fast": "rate: expected a number, got 'fast'",
    'rate: "3"': "rate: expected a number, got '3'",
    "rate: 1_0e2": "rate: expected a number, got '1_0e2'",
    "rate: true": "rate: expected a number, got True",
    "rate: []": "rate: expected a number, got []",
    "rate:": "rate: expected a number, got None",
    f"rate: 1{'0' * 400}": "rate: 1000000",
    f"steps: {'9' * 5000}": "f.yaml: unreadable value",
    "steps: yes": "steps: expected int, got True",
    "steps: 1.0": "steps: expected int, got 1.0",
    "steps: 1e1": "steps: expected int, got '1e1'",
    "steps: 0": "steps: 0 is outside 1..100",
    "steps: 101": "steps: 101 is outside 1..100",
    "inner: {gain: 10.5}": "inner: gain: 10.5 is outside 0..10",
    "is_on: 1": "is_on: expected bool, got 1",
    'is_on: "true"': "is_on: expected bool, got 'true'",
    "mode: 3": "mode: expected str, got 3",
    "mode: middling": "mode: 'middling' is not one of fast, slow",
    "kind: c": "kind: 'c' is not one of a, b",
    "kind: []": "kind: [] is not one of a, b",
    "level: true": "level: True is not one of 1, 2",
    "level: 1.0": "level: 1.0 is not one of 1, 2",
    "size: [1]": "size: expected 2 entries, got 1",
    "size: [1, 2, 3]": "size: expected 2 entries, got 3",
    "size: [1, x]": "size[1]: expected int, got 'x'",
    "size: 1": "size: expected a list, got 1",
    "size: ab": "size: expected a list, got 'ab'",
    "inner: 3": "inner: expected a mapping, got int",
    "inner: {names: [a, 1]}": "inner: names[1]: expected str, got 1",
    "table: [1]": "table: expected a mapping, got [1]",
    "table: {1: 2.0}": "table: a key must be text, got 1",
    "- steps": "expected a mapping, got list",
    "steps": "expected a mapping, got str",
    "3": "expected a mapping, got int",
    "inner:\n\tgain: 1.0": "line 2",
    "a: b: c": "line 1",
    "steps: [1": "line 1",
    "steps: 1\n--- \nrate: 1": "line 2",
    "{[1]: 2}": "line 1: a key must be a word, got [1]",
    "? {a: 1}\n: 2": "line 1: a key must be a word",
    "steps: 2001-99-99": "unreadable value",
    "steps: !!python/object/apply:os.getcwd []": "could not determine a constructor",
    "steps: !!python/tuple 3": "expected a sequence node",
    "steps: !mine 3": "could not determine a constructor",
    "steps: *nowhere": "undefined alias",
    "inner: &a {gain: *a}": "f.yaml: ",
    "inner: {<<: {gain: 1.0}}": "f.yaml: ",
    "rate: \x00": "f.yaml: ",
    "[" * 1100: "nested too deeply",
}


def test_a_tuple_as_launch_writes_it_is_a_list():
    assert parse_yaml("size: !!python/tuple [1, [2]]", "f.yaml") == {"size": [1, [2]]}


@pytest.mark.case(45)
@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:40])
def test_bad_configuration_is_refused_with_file_key_and_reason(text):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value).startswith("f.yaml: ")
    assert BAD[text] in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("text", "rate"),
    [("1e3", 1e3), ("-2.5E-1", -0.25), (".5e+1", 5.0), ("7", 7.0), ("1.", 1.0), ("+1e2", 100.0)],
)
def test_numbers_are_read_as_people_write_them(text, rate):
    loaded = load(f"rate: {text}").rate
    assert isinstance(loaded, float)
    assert loaded == rate


@given(finite)
def test_every_number_that_python_prints_is_read_back(rate):
    assert load(f"rate: {rate!r}").rate == rate


def test_a_missing_key_is_named():
    with pytest.raises(ConfigError, match=r"f\.yaml: missing key 'must'"):
        load("", Needy)


def test_what_a_class_refuses_itself_names_the_file():
    with pytest.raises(ConfigError, match=r"f\.yaml: must not be empty"):
        load("must: ''", Needy)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(20)
)


@pytest.mark.parametrize("key", ["steps", "rate", "mode", "kind", "size", "inner", "table", "zzz"])
def test_a_bomb_of_aliases_is_refused_in_a_short_message(key):
    """Twenty levels of ten aliases each stand for 10^21 words."""
    bomb = parse_yaml(BOMB, "f.yaml")["u"]
    with pytest.raises(ConfigError) as caught:
        from_mapping(Outer, {key: bomb}, "f.yaml")
    assert len(str(caught.value)) < 5000


def test_a_bomb_of_aliases_as_keys_is_refused():
    with pytest.raises(ConfigError, match="unknown key 'a'"):
        load(BOMB)


@pytest.mark.parametrize("content", [b"rate: 1.0\n", b"\xef\xbb\xbfrate: 1.0\n", b"rate: 1.0\r\n"])
def test_a_file_is_read(tmp_path, content):
    path = tmp_path / "f.yaml"
    path.write_bytes(content)
    assert load_yaml(path) == {"rate": 1.0}


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"mode: \xe4\n")
    for path in (tmp_path / "absent.yaml", tmp_path, latin):
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            load_yaml(path)
        assert str(path) in str(caught.value)


@pytest.mark.case(45)
def test_only_a_file_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "f.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match=r"f\.yaml: larger than 1000000 bytes"):
        load_yaml(path)
    monkeypatch.setattr("so101.config.MAX_BYTES", 7)
    path.write_bytes(b"rate: 1")
    assert load_yaml(path) == {"rate": 1}
    path.write_bytes(b"rate: 1\n")
    with pytest.raises(ConfigError, match="larger than 7 bytes"):
        load_yaml(path)


@pytest.mark.case(45)
def test_an_endless_file_is_refused(tmp_path):
    path = tmp_path / "endless.yaml"
    path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="larger than"):
        load_yaml(path)


def test_an_option_carries_its_documentation():
    metadata = Outer.__dataclass_fields__["steps"].metadata
    assert metadata == {"doc": "a count", "range": (1, 100)}
    assert math.isclose(Outer().inner.gain, 1.0)
