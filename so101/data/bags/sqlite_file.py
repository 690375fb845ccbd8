"""Reads a rosbag2 database file, whole or damaged, without trusting its schema or its pages."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so101.data.bags.unpacking import Allowance, unpack_stream
from so101.errors import BagError

_TOPICS = "SELECT id, name, type, serialization_format FROM topics"
_ORDERED = "SELECT topic_id, timestamp, data FROM messages ORDER BY timestamp, id"
_AS_STORED = "SELECT topic_id, timestamp, data FROM messages"  # needs no index
_DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)  # the latter for an error's own message
_ROW_BYTES = 8  # a row takes at least this much of its file


@dataclass(kw_only=True)
class DatabaseContent:
    """What a file holds.

    Attributes:
        types: Topic name to ROS type name.
        messages: Log time [ns], topic and bytes, in order of arrival.
        metadata: The text of metadata.yaml that newer files repeat; empty in older ones.
        damage: Why the file is not whole; empty when it is.
    """

    types: dict[str, str] = field(default_factory=dict)
    messages: list[tuple[int, str, bytes]] = field(default_factory=list)
    metadata: str = ""
    damage: str = ""


def read_database(path: Path) -> DatabaseContent:
    """Read every message of a database, or what can still be read of it.

    Raises:
        BagError: It is no rosbag2 database, or contradicts itself.
    """
    try:
        try:
            return _read(path, is_salvage=False)
        except _DAMAGED as error:
            content = _read(path, is_salvage=True)
            content.damage = f"cut or overwritten: {error}"
            return content
    except (*_DAMAGED, sqlite3.Error, OverflowError, MemoryError) as error:
        raise BagError(f"{path}: cannot be read: {error}") from error


def _read(path: Path, *, is_salvage: bool) -> DatabaseContent:
    content = DatabaseContent()
    with closing(_connect(path)) as database:
        if is_salvage:  # else a file that lost its end is not even opened
            database.execute("PRAGMA writable_schema = ON")
        limit = _prepare(database, path)
        topics = _read_topics(database, path, content)
        content.metadata = _read_metadata(database)
        if not is_salvage:
            content.messages = list(_rows(database, _ORDERED, topics, path, limit))
            return content
        with suppress(*_DAMAGED, BagError):  # up to the first broken page
            content.messages.extend(_rows(database, _AS_STORED, topics, path, limit))
    content.messages.sort(key=lambda message: message[0])
    return content


def _connect(path: Path) -> sqlite3.Connection:
    if path.suffix == ".zstd":
        packed = path.read_bytes()
        database = sqlite3.connect(":memory:")
        try:
            database.deserialize(unpack_stream(packed, Allowance(len(packed))))
        except BagError as error:
            database.close()
            raise BagError(f"{path}: {error}") from error
        return database
    # Without a log beside it nobody is writing: then it also opens in a read-only directory.
    log = path.with_name(path.name + "-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True)


def _prepare(database: sqlite3.Connection, path: Path) -> int:
    """Refuse what only looks like a table, and return the size of the database [bytes]."""
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA cell_size_check = ON")
    for name in ("topics", "messages"):
        if not _is_plain_table(database, name):
            raise BagError(f"{path}: no rosbag2 database: {name!r} is not a plain table")
    sizes = (database.execute(f"PRAGMA {name}") for name in ("page_count", "page_size"))
    pages, page_bytes = (int(row.fetchone()[0]) for row in sizes)
    return pages * page_bytes


def _is_plain_table(database: sqlite3.Connection, name: str) -> bool:
    """Tell whether a table only stores: a view or a computed column need not come to an end."""
    query = "SELECT type, sql FROM sqlite_master WHERE lower(name) = ?"
    found = database.execute(query, (name,)).fetchall()
    if len(found) != 1 or found[0][0] != "table":
        return False
    words = str(found[0][1]).upper().replace("(", " ").split()
    return words[:2] == ["CREATE", "TABLE"] and "AS" not in words


def _read_metadata(database: sqlite3.Connection) -> str:
    if not _is_plain_table(database, "metadata"):
        return ""
    with suppress(*_DAMAGED):
        for (text,) in database.execute("SELECT metadata FROM metadata ORDER BY id DESC LIMIT 1"):
            return text if isinstance(text, str) else ""
    return ""


def _read_topics(
    database: sqlite3.Connection, path: Path, content: DatabaseContent
) -> dict[Any, str]:
    topics = {}
    for number, name, kind, encoding in database.execute(_TOPICS):
        if not all(isinstance(word, str) for word in (name, kind, encoding)):
            raise BagError(f"{path}: a topic has no name or no type")
        if encoding != "cdr":
            raise BagError(f"{path}: {name}: not CDR: {encoding!r}")
        if content.types.setdefault(name, kind) != kind:
            raise BagError(f"{path}: {name} has two types")
        topics[number] = name
    return topics


def _rows(
    database: sqlite3.Connection, query: str, topics: dict[Any, str], path: Path, limit: int
) -> Iterator[tuple[int, str, bytes]]:
    """Yield messages; pages that point at each other cannot hold more than the file."""
    left = limit
    for number, stamp, data in database.execute(query):
        if number not in topics or type(stamp) is not int or type(data) is not bytes:
            raise BagError(f"{path}: a message of unknown topic {number!r} or broken content")
        left -= len(data) + _ROW_BYTES
        if left < 0:
            raise BagError(f"{path}: holds more than its {limit} bytes")
        yield stamp, topics[number], data
