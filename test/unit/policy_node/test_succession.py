"""Between two episodes the policy that was announced last takes over, and no other ever does."""

from pathlib import Path

import pytest
from contracts.policy_factories import make_policy
from hypothesis import given
from hypothesis import strategies as st

from policy_node.loader import Loaded, Refused
from policy_node.succession import Succession

A, B, C = (Path(name) for name in "ABC")
POLICY = make_policy()


def loaded(path):
    return Loaded(path=path, sha256=f"sha of {path}", policy=POLICY)


def announce(succession, path):
    return succession.announce(path, loaded(path).sha256)


def answer(succession, word):
    """Do what the node does with a word of the loader."""
    if succession.is_wanted(word) and isinstance(word, Loaded):
        succession.line_up(word)


@pytest.fixture
def acting():
    """A policy acts."""
    succession = Succession()
    assert announce(succession, A)
    answer(succession, loaded(A))
    assert succession.take_over() == loaded(A)
    return succession


def test_what_acts_or_waits_is_not_loaded_again_unless_asked(acting):
    assert not announce(acting, A)
    assert announce(acting, B)
    answer(acting, loaded(B))
    assert not announce(acting, B)
    assert acting.announce(acting.newest)
    assert acting.take_over() == loaded(B)


@pytest.mark.parametrize("is_loaded_first", [False, True])
def test_what_is_taken_back_before_it_acts_never_acts(acting, is_loaded_first):
    announce(acting, B)
    if is_loaded_first:
        answer(acting, loaded(B))
    assert not announce(acting, A)
    answer(acting, loaded(B))
    assert acting.take_over() is None
    assert acting.live == loaded(A)
    assert acting.newest == A


def test_after_a_refusal_the_old_one_acts_on(acting):
    announce(acting, B)
    answer(acting, Refused(path=B, problem="a flipped byte"))
    assert acting.take_over() is None
    assert acting.live == loaded(A)


def test_whoever_steps_down_acts_again_unless_somebody_waits(acting):
    acting.step_down()
    assert acting.live is None
    assert acting.take_over() == loaded(A)
    announce(acting, B)
    answer(acting, loaded(B))
    acting.step_down()
    assert acting.take_over() == loaded(B)


def test_whoever_is_followed_lets_go_of_what_it_holds(acting):
    closed = []
    first = Loaded(path=B, sha256="b", policy=POLICY, close=lambda: closed.append(B))
    acting.line_up(first)
    assert acting.take_over() == first
    assert closed == []
    acting.line_up(loaded(C))
    assert closed == []
    assert acting.take_over() == loaded(C)
    assert closed == [B]


def test_whoever_steps_down_and_comes_back_holds_it_still(acting):
    acting.line_up(Loaded(path=B, sha256="b", policy=POLICY, close=lambda: pytest.fail("closed")))
    acting.take_over()
    acting.step_down()
    assert acting.take_over().path == B


def test_whoever_withdraws_does_not_take_over(acting):
    assert acting.withdraw() is None
    acting.line_up(loaded(B))
    assert acting.withdraw() == loaded(B)
    assert acting.take_over() is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["announce", "answer", "idle"]), st.sampled_from([A, B, C]))
    )
)
def test_only_the_newest_takes_over(steps):
    succession = Succession()
    for what, path in steps:
        if what == "announce":
            announce(succession, path)
        elif what == "answer":
            answer(succession, loaded(path))
        elif newcomer := succession.take_over():
            assert newcomer == succession.live == loaded(succession.newest)
