"""Where one websocket message ends and the next begins, seen from the bytes alone (RFC 6455).

A websocket library says when a message is complete, not for how long one has been incomplete. A
peer that sends a byte a second would hold its place for hours. This watch follows the frames'
headers and knows at any byte whether a message is under way and how long it is so far.
"""

_END_OF_HEAD = b"\r\n\r\n"
_FINAL = 0x80
_CONTROL = 0x08
_MASKED = 0x80
_EXTENDED = {126: 2, 127: 8}


class StreamWatch:
    """Follows what one peer sends, from the first byte of its handshake on.

    Attributes:
        completed: Messages and control frames that are complete.
        pending: Bytes of the message that is under way; 0 between messages.
    """

    def __init__(self) -> None:
        """Wait for the handshake."""
        self.completed = 0
        self.pending = 0
        self._head = bytearray()
        self._is_open = False
        self._skip = 0
        self._is_last = True

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        if not self._is_open:
            data = self._after_handshake(bytes(data))
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                at, self._skip, self.pending = at + step, self._skip - step, self.pending + step
            else:
                self._head.append(data[at])
                at, self.pending = at + 1, self.pending + 1
                self._read_head()
            if not self._skip and not self._head:
                self._end_frame()

    def _after_handshake(self, data: bytes) -> bytes:
        kept = self._head[-3:] + data
        self._head = bytearray()
        end = kept.find(_END_OF_HEAD)
        if end < 0:
            self._head = bytearray(kept[-3:])
            return b""
        self._is_open = True
        return bytes(kept[end + len(_END_OF_HEAD) :])

    def _read_head(self) -> None:
        head = self._head
        if len(head) < 2:
            return
        short = head[1] & 0x7F
        extended = _EXTENDED.get(short, 0)
        mask = 4 if head[1] & _MASKED else 0
        if len(head) < 2 + extended + mask:
            return
        self._skip = int.from_bytes(head[2 : 2 + extended]) if extended else short
        if not head[0] & _CONTROL:  # control frames may come between a message's fragments
            self._is_last = bool(head[0] & _FINAL)
        self._head = bytearray()

    def _end_frame(self) -> None:
        if self._is_last:
            self.completed += 1
            self.pending = 0
