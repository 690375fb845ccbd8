"""Unpacks zstd and lz4 without believing what they claim: a bag has one allowance for all of it.

A few bytes can stand for gigabytes. What a file may become is bounded by its own size: generously,
for pictures of one colour shrink a lot, but finitely.
"""

import lz4.frame  # type: ignore[import-untyped]
import zstandard

from so101.errors import BagError

_MAX_RATIO = 200
_LEAST_BYTES = 1 << 26
_LEAST_RECORDS = 1 << 18
_PIECE = 1 << 22


class Allowance:
    """What may still be unpacked.

    Attributes:
        bytes: Unpacked bytes that are left.
        records: Records that are left, each of which costs memory of its own.
    """

    def __init__(self, stored: int) -> None:
        """Set what a file may become.

        Args:
            stored: Its size as it lies on the disk [bytes].
        """
        self.bytes = max(_LEAST_BYTES, _MAX_RATIO * stored)
        self.records = max(_LEAST_RECORDS, stored // 4)

    def take(self, size: int, records: int = 0) -> None:
        """Use up a part of it.

        Raises:
            BagError: So much is not left.
        """
        self.bytes -= size
        self.records -= records
        if self.bytes < 0 or self.records < 0:
            raise BagError("unpacks to far more than its size; that is no recording")


def unpack_frame(packed: bytes | memoryview, allowance: Allowance) -> bytes:
    """Unpack one zstd frame, whole.

    Raises:
        BagError: It is broken, cut, or too large.
    """
    try:
        claimed = zstandard.frame_content_size(packed)  # would overrule the output limit
        most = allowance.bytes if claimed < 0 else claimed
        if most > allowance.bytes:
            raise BagError(f"claims to unpack to {claimed} bytes")
        plain = zstandard.ZstdDecompressor().decompress(packed, max_output_size=max(most, 1))
    except (zstandard.ZstdError, MemoryError) as error:
        raise BagError(f"cannot be unpacked: {error}") from error
    allowance.take(len(plain))
    return plain


def unpack_stream(packed: bytes | memoryview, allowance: Allowance) -> memoryview:
    """Unpack a file of zstd frames as far as it goes: one that was cut gives what precedes.

    Raises:
        BagError: It is broken, or too large.
    """
    plain = bytearray()
    try:
        with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as stream:
            while piece := stream.read(_PIECE):
                allowance.take(len(piece))
                plain += piece
    except (zstandard.ZstdError, MemoryError) as error:
        raise BagError(f"cannot be unpacked: {error}") from error
    return memoryview(plain).toreadonly()


def unpack_chunk(
    packed: memoryview, compression: str, size: int, allowance: Allowance
) -> memoryview:
    """Unpack a chunk of an MCAP file.

    Args:
        packed: Its bytes.
        compression: Their compression; empty for none.
        size: How large it claims to be [bytes].
        allowance: What may still be unpacked.

    Raises:
        BagError: It is broken, too large or of another size.
    """
    if compression == "":
        return packed
    if size > allowance.bytes:
        raise BagError(f"a chunk of {size} bytes")
    try:
        if compression == "zstd":
            plain = unpack_frame(packed, allowance)
        elif compression == "lz4":
            plain = lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=size)
            allowance.take(len(plain))
        else:
            raise BagError(f"unknown compression {compression!r}")
    except (RuntimeError, MemoryError, BagError) as error:
        raise BagError(f"a chunk cannot be unpacked: {error}") from error
    if len(plain) != size:
        raise BagError(f"a chunk unpacks to {len(plain)} bytes, not {size}")
    return memoryview(plain)


def unpack_beginning(packed: memoryview, compression: str, allowance: Allowance) -> memoryview:
    """Unpack a chunk that was cut, as far as it goes; arguments as of `unpack_chunk`.

    Raises:
        BagError: It is broken, or too large.
    """
    if compression == "":
        return packed
    if compression == "zstd":
        return unpack_stream(packed, allowance)
    try:
        plain = lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=allowance.bytes)
    except (RuntimeError, MemoryError) as error:
        raise BagError(f"cannot be unpacked: {error}") from error
    allowance.take(len(plain))
    return memoryview(plain)
