"""The wire: when replies come, in which order, and what faults do to them."""

import pytest
from servo_hosts import IDS, MS, Host

from so101.servos import packets
from so101.servos import registers as reg
from so101.servos.packets import PacketParser

POSITIONS = packets.sync_read(reg.PRESENT_POSITION.address, 15, IDS)


@pytest.fixture
def host():
    return Host()


def test_a_sync_read_is_answered_by_all_in_the_order_asked(host):
    order = (4, 1, 6, 2)
    replies = host.ask(packets.sync_read(reg.ID.address, 1, order))
    assert [reply.id for reply in replies] == list(order)
    assert [reply.parameters[0] for reply in replies] == list(order)


def test_a_reply_takes_what_the_wire_the_servo_and_the_adapter_take():
    for adapter_ns in (0, MS, 4 * MS):
        host = Host(adapter_ns=adapter_ns)
        host.send(POSITIONS)
        took_ns = host.bus.next_due_ns - host.now_ns
        bytes_ns = (len(POSITIONS) + 6 * (15 + 6)) * 10_000
        assert bytes_ns + adapter_ns <= took_ns <= bytes_ns + adapter_ns + 6 * 50_000
        assert host.bus.take(host.now_ns + took_ns - 1) == b""
        assert len(host.bus.take(host.now_ns + took_ns)) == 6 * (15 + 6)


def test_a_broadcast_ping_is_answered_by_all_and_a_broadcast_write_by_none(host):
    replies = host.ask(packets.ping(packets.BROADCAST_ID))
    assert [reply.id for reply in replies] == list(IDS)
    data = reg.TORQUE_LIMIT.encode(300)
    assert host.ask(packets.write(packets.BROADCAST_ID, reg.TORQUE_LIMIT.address, data)) == []
    assert [host.get(reg.TORQUE_LIMIT, servo) for servo in IDS] == [300] * 6


def test_a_write_is_acknowledged_unless_the_servo_is_told_not_to(host):
    assert len(host.ask(packets.write(2, reg.ACCELERATION.address, b"\x05"))) == 1
    host.ask(packets.write(2, reg.RESPONSE_STATUS_LEVEL.address, b"\x00"))
    assert host.ask(packets.write(2, reg.ACCELERATION.address, b"\x06")) == []
    assert host.get(reg.ACCELERATION, 2) == 6


def test_a_prepared_write_waits_for_the_action(host):
    host.ask(packets.reg_write(2, reg.ACCELERATION.address, b"\x05"))
    assert host.get(reg.ACCELERATION, 2) == 0
    host.ask(packets.action())
    assert host.get(reg.ACCELERATION, 2) == 5


def test_a_new_id_answers_from_the_next_request_on(host):
    host.ask(packets.write(2, reg.LOCK.address, b"\x00"))
    (reply,) = host.ask(packets.write(2, reg.ID.address, b"\x09"))
    assert reply.id == 2
    assert host.ask(packets.ping(2)) == []
    assert len(host.ask(packets.ping(9))) == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00garbage",
        packets.encode(packets.Packet(1, packets.Instruction.READ, b"\x38")),
        packets.encode(packets.Packet(254, packets.Instruction.SYNC_READ, b"\x38")),
        packets.encode(packets.Packet(254, packets.Instruction.SYNC_WRITE, b"\x2a\x02\x01")),
        packets.encode(packets.Packet(1, packets.Instruction.WRITE)),
        packets.encode(packets.Packet(1, 0x77, b"\x01")),
        packets.ping(1)[:-1] + b"\x00",
    ],
)
def test_nonsense_is_survived(host, request_bytes):
    host.ask(request_bytes)
    host.ask(bytes(300))  # whatever a broken packet waits for
    assert len(host.ask(packets.ping(1))) == 1


def count_replies(host, rounds=100):
    """Return good replies and broken packets of many sync reads."""
    parser, good = PacketParser(), 0
    for _ in range(rounds):
        host.send(POSITIONS)
        host.wait(0.005)
        good += len(parser.feed(host.bus.take(host.now_ns)))
    return good, parser


def test_lost_replies_are_as_many_as_asked_for_and_only_those_of_one_servo(host):
    host.command("drop 0.3 3")
    good, parser = count_replies(host)
    assert 555 <= good <= 585  # 600 less 30 of 100, give or take three deviations
    assert parser.skipped == 0


def test_a_corrupt_reply_is_found_by_its_checksum(host):
    host.command("corrupt 0.2")
    good, parser = count_replies(host)
    assert 440 <= good <= 520
    assert parser.corrupt + parser.skipped > 0


def test_a_late_reply_is_late_and_whole(host):
    host.command("delay 1 30 6")
    host.send(POSITIONS)
    host.wait(0.02)
    assert host.bus.take(host.now_ns) == b""
    host.wait(0.02)
    assert len(PacketParser().feed(host.bus.take(host.now_ns))) == 6


def test_a_silent_bus_still_moves_the_arm_as_it_was_told(host):
    host.command("silent 0.5")
    assert host.ask(packets.ping(1)) == []
    host.put(reg.ACCELERATION, 9, [1])
    host.wait(0.5)
    assert host.get(reg.ACCELERATION, 1) == 9


def test_a_missing_servo_leaves_a_gap_and_comes_back(host):
    host.command("missing wrist_flex 0.1")
    assert [reply.id for reply in host.ask(POSITIONS)] == [1, 2, 3, 5, 6]
    host.wait(0.1)
    assert [reply.id for reply in host.ask(POSITIONS)] == list(IDS)


def test_two_servos_with_one_id_disturb_each_other(host):
    host.command("id 4 3")
    rounds = [host.ask(packets.read(3, reg.PRESENT_POSITION.address, 15)) for _ in range(10)]
    first = host.twin.motors.positions[2]
    whole = [reg.pick(r[0].parameters, 56, reg.PRESENT_POSITION) for r in rounds if r]
    assert len(whole) < 10 or any(abs(position - first) > 5 for position in whole)
    assert host.ask(packets.ping(4)) == []
