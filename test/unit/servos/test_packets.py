"""What is encoded is found again, however the bytes are cut and whatever lies between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so101.errors import HardwareError
from so101.servos import packets
from so101.servos.packets import BROADCAST_ID, Instruction, Packet, PacketParser, encode

ids = st.integers(0, BROADCAST_ID)
servo_ids = st.integers(0, packets.MAX_ID)
octets = st.integers(0, 255)
packet_values = st.builds(Packet, ids, octets, st.binary(max_size=packets.MAX_PARAMETERS))
quiet_noise = st.binary(max_size=20).map(lambda data: data.replace(b"\xff", b"\x00"))


@given(st.lists(packet_values, max_size=5), st.data())
def test_packets_are_found_however_their_bytes_are_cut(sent, data):
    stream = b"".join(map(encode, sent))
    parser = PacketParser()
    found = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += parser.feed(stream[:cut])
        stream = stream[cut:]
    assert found == sent
    assert (parser.corrupt, parser.skipped, parser.pending) == (0, 0, 0)


@given(st.lists(st.tuples(quiet_noise, packet_values), max_size=5))
def test_noise_between_packets_is_skipped_and_counted(parts):
    parser = PacketParser()
    found = parser.feed(b"".join(noise + encode(packet) for noise, packet in parts))
    assert found == [packet for _, packet in parts]
    assert parser.skipped == sum(len(noise) for noise, _ in parts)


@given(st.binary(max_size=600))
def test_every_byte_is_in_a_packet_or_skipped_or_pending(data):
    parser = PacketParser()
    taken = sum(len(encode(packet)) for packet in parser.feed(data))
    assert taken + parser.skipped + parser.pending == len(data)


@given(st.lists(packet_values, min_size=2, max_size=4), st.data())
def test_a_corrupt_packet_costs_no_other(sent, data):
    """A byte that is not the length: a wrong length may swallow what follows, see below."""
    stream = [bytearray(encode(packet)) for packet in sent]
    which = data.draw(st.integers(0, len(sent) - 1))
    places = [at for at in range(2, len(stream[which])) if at != 3]
    at = data.draw(st.sampled_from(places))
    stream[which][at] ^= data.draw(st.integers(1, 255))
    others = [packet for k, packet in enumerate(sent) if k != which]
    parser = PacketParser()
    # What a broken packet may wait for never comes on a quiet bus; zeros stand for the time-out.
    found = parser.feed(b"".join(stream) + bytes(300))
    assert [packet for packet in found if packet in others] == others
    assert sent[which] in others or sent[which] not in found


def test_a_false_start_gives_back_what_it_seemed_to_contain():
    inner = Packet(3, 0, b"\x01\x02")
    false_start = b"\xff\xff\x01\x09\x00"
    parser = PacketParser()
    assert parser.feed(false_start + encode(inner)) == [inner]
    assert parser.corrupt == 1


def test_a_parser_that_knows_its_replies_waits_for_no_longer_ones():
    reply = Packet(3, 0, bytes(14))
    parser = PacketParser(max_parameters=14)
    assert parser.feed(b"\xff\xff\x01\x80" + encode(reply)) == [reply]


def test_reset_forgets_the_beginning_of_a_packet():
    reply = encode(Packet(3, 0, bytes(8)))
    parser = PacketParser()
    assert parser.feed(reply[:5]) == []
    parser.reset()
    assert parser.feed(reply) == [Packet(3, 0, bytes(8))]
    assert parser.skipped == 5


def test_the_bytes_are_those_of_the_protocols_manual():
    # Examples with the bytes of Feetech's manual: ping of 1, read of 1's position, its reply.
    assert packets.ping(1) == bytes.fromhex("FFFF010201FB")
    assert packets.read(1, 0x38, 2) == bytes.fromhex("FFFF0104023802BE")
    assert packets.status(1, 0, b"\x18\x05") == bytes.fromhex("FFFF0104001805DD")
    assert packets.sync_read(0x38, 8, (1, 2)) == bytes.fromhex("FFFFFE06823808010236")


@given(
    octets,
    st.integers(0, 4).flatmap(
        lambda size: st.dictionaries(
            servo_ids, st.binary(min_size=size, max_size=size), min_size=1, max_size=12
        )
    ),
)
def test_a_sync_write_is_split_into_what_it_was_made_of(address, data):
    (packet,) = PacketParser().feed(packets.sync_write(address, data))
    assert (packet.id, packet.code) == (BROADCAST_ID, Instruction.SYNC_WRITE)
    assert packets.split_sync_write(packet.parameters) == (address, data)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: packets.ping(300), "servo id 300: expected 0 to 253"),
        (lambda: packets.read(1, 256, 2), r"servo 1: \[256, 2\]: expected .* one byte"),
        (lambda: packets.sync_read(56, 2, (1, -1)), "expected .* one byte"),
        (lambda: packets.write(1, 0, bytes(250)), "251 parameters: expected at most 250"),
        (lambda: packets.sync_write(42, {}), "expected one size"),
        (lambda: packets.sync_write(42, {1: b"a", 2: b"bc"}), r"\[1, 2\] bytes: expected one"),
        (lambda: packets.split_sync_write(b"\x2a\x02\x01\x00"), "4 parameters: expected"),
        (lambda: packets.check_reply(Packet(2, 0), 1, 0), "servo 1: expected its reply, .* 2"),
        (lambda: packets.check_reply(Packet(1, 0, b"x"), 1, 2), "expected 2 bytes, got 1"),
        (lambda: encode(Packet(1, 256)), "code 256: expected one byte"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_error_says_what_was_expected(call, words):
    with pytest.raises(HardwareError, match=words):
        call()
