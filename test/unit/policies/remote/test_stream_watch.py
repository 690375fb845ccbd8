"""The watch sees the ends of messages wherever the bytes are cut."""

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from so101.policies.remote.server.stream_watch import StreamWatch

HANDSHAKE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def frame(opcode, size, *, fin=True):
    return Frame(opcode, b"x" * size, fin).serialize(mask=True)


FRAMES = st.lists(st.integers(0, 70_000), min_size=1, max_size=4)


@given(FRAMES, st.data())
def test_messages_are_counted_however_the_bytes_are_cut(sizes, data):
    stream = HANDSHAKE + b"".join(frame(Opcode.BINARY, size) for size in sizes)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    watch = StreamWatch()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        watch.feed(stream[start:end])
    assert (watch.completed, watch.pending) == (len(sizes), 0)


@given(FRAMES)
def test_a_message_is_under_way_from_its_first_to_its_last_byte(sizes):
    watch = StreamWatch()
    watch.feed(HANDSHAKE)
    for index, size in enumerate(sizes):
        whole = frame(Opcode.BINARY, size)
        watch.feed(whole[:1])
        assert watch.pending == 1
        watch.feed(whole[1:-1])
        assert (watch.completed, watch.pending) == (index, len(whole) - 1)
        watch.feed(whole[-1:])
        assert (watch.completed, watch.pending) == (index + 1, 0)


def test_byte_by_byte_is_the_same():
    watch = StreamWatch()
    for byte in HANDSHAKE + frame(Opcode.BINARY, 300) + frame(Opcode.PONG, 4):
        watch.feed(bytes([byte]))
    assert (watch.completed, watch.pending) == (2, 0)


def test_fragments_are_one_message_with_pings_between():
    watch = StreamWatch()
    parts = [
        frame(Opcode.BINARY, 1000, fin=False),
        frame(Opcode.PING, 3),
        frame(Opcode.CONT, 500, fin=False),
    ]
    watch.feed(HANDSHAKE + b"".join(parts))
    assert watch.completed == 0
    assert watch.pending == sum(map(len, parts))
    watch.feed(frame(Opcode.CONT, 0))
    assert (watch.completed, watch.pending) == (1, 0)


def test_an_endless_handshake_keeps_no_bytes():
    watch = StreamWatch()
    for _ in range(1000):
        watch.feed(b"X-Header: " + b"a" * 1000 + b"\r\n")
    assert len(watch._head) < 4
    watch.feed(b"\r\n")
    watch.feed(frame(Opcode.TEXT, 1))
    assert watch.completed == 1
