"""A store by its name: a directory, or the URL of a remote one."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from so101.data.stores.episode_store import EpisodeStore
from so101.data.stores.remote_files import RemoteFiles, check_url, is_url
from so101.data.stores.remote_store import RemoteStore
from so101.data.stores.store_index import INDEX_NAME


def open_store(
    name: str,
    *,
    cache: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> EpisodeStore:
    """Return the store of a directory or URL; nothing is read or locked yet.

    Args:
        name: Directory of bags, single bag, or URL.
        cache: Where bags of remote stores are kept; None for the user's cache directory.
        say: Takes what a person should know, such as that the network is gone.

    Raises:
        ConfigError: The URL is not that of a store; see `check_url`.
    """
    if is_url(name):
        url = check_url(name)
        root = cache if cache is not None else default_cache(os.environ)
        return RemoteStore(RemoteFiles(url), root / cache_name(url), say)
    path = Path(name).expanduser()
    return EpisodeStore(path, keeps_index=(path / INDEX_NAME).exists())


def default_cache(environ: Mapping[str, str]) -> Path:
    """Return where bags of remote stores are kept, as the XDG specification has it."""
    home = environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path("~/.cache").expanduser()
    return base / "so101" / "stores"


def cache_name(url: str) -> str:
    """Return the name of the directory of one remote store in a cache."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]
