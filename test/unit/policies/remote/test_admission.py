"""Who may come in, and whose unfinished message goes first."""

import socket

from hypothesis import given
from hypothesis import strategies as st

from so101.policies.remote.server.admission import (
    BURST,
    MAX_ADDRESSES,
    NEW_PER_S,
    Door,
    Intake,
    listen,
)


def test_there_are_never_more_inside_than_allowed():
    door = Door(3)
    for number in range(5):
        if door.admits("a", float(number)):
            door.inside += 1
    assert (door.inside, door.turned_away) == (3, 2)


def test_who_knocks_all_the_time_is_let_in_at_a_rate():
    door = Door(10_000)
    let_in = sum(door.admits("a", ms / 1000) for ms in range(10_000))
    assert let_in == BURST + int(10 * NEW_PER_S) - 1


def test_one_address_wears_out_no_others_welcome():
    door = Door(10_000)
    while door.admits("a", 0.0):
        pass
    assert door.admits("b", 0.0)
    assert not door.admits("a", 0.05)
    assert door.admits("a", 1.0)


def test_only_so_many_addresses_are_remembered():
    door = Door(10)
    for number in range(3 * MAX_ADDRESSES):
        door.admits(str(number), 0.0)
    assert len(door._allowance) == MAX_ADDRESSES


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50)), max_size=60))
def test_the_longest_unfinished_message_goes_and_the_rest_fits(steps):
    intake, pending = Intake(100), {}
    for owner, size in steps:
        pending[owner] = size
        victim = intake.set(owner, size)
        assert (victim is None) == (sum(pending.values()) <= 100)
        while victim is not None:
            assert pending[victim] == max(pending.values())
            pending[victim] = 0
            victim = intake.set(victim, 0)
        assert sum(pending.values()) <= 100


def test_a_socket_that_is_closed_makes_room():
    door = Door(1)
    with listen("127.0.0.1", 0, door) as listener:
        listener.setblocking(True)
        for _ in range(3):
            with socket.create_connection(listener.getsockname()):
                taken, _ = listener.accept()
                assert door.inside == 1
                taken.close()
                taken.close()  # closing twice counts once
                assert door.inside == 0
