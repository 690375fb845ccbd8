"""The verb that lets a policy answer robots over the network: serve. No ROS."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so101_bringup.cli_common import open_store

if TYPE_CHECKING:
    from so101.policies.remote.server.config import ServerConfig
    from so101.policies.remote.server.inference import Served
    from so101.policies.remote.server.running import Companion

    _Prepared = tuple[Served, Callable[[bool], None], list[Companion]]


def add_verbs(verbs: Any) -> None:
    """Add the verb to the parser."""
    text = "let a policy answer robots over the network"
    # or --token SECRET would be taken for --token-file, and its error would show the secret
    serve = verbs.add_parser("serve", help=text, allow_abbrev=False)
    add = serve.add_argument
    add("--checkpoint", default="", metavar="PATH", help="its directory, or a run's")
    add("--follow", default="", metavar="DIR", help="serve what this run promotes, as it does")
    add("--host", default="127.0.0.1", help="address to bind to (127.0.0.1)")
    add("--port", type=int, default=8000, help="TCP port; 0 for a free one (8000)")
    add("--token-file", default="", metavar="FILE", help="the secret, or SO101_TOKEN has it")
    add("--cert", default="", metavar="FILE", help="certificate chain, for TLS")
    add("--key", default="", metavar="FILE", help="its private key")
    add("--device", default="cpu", help="where the network runs (cpu)")
    add("--learn", default="", metavar="STORE", help="train on its episodes (DIR|URL) meanwhile")
    add("--cache", default="", metavar="DIR", help="where bags of a URL are kept")
    add("--learning", default="", metavar="FILE", help="how long, and from what (YAML)")
    add("--openpi", default="", metavar="FILE", help="what openpi's keys mean (YAML)")
    serve.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    import asyncio

    from so101.policies.remote.server.access import Access, is_loopback, read_token, tls_context
    from so101.policies.remote.server.running import serve_until_signal
    from so101.policies.remote.server.server import PolicyServer

    config = _config(arguments)
    token = read_token(_path(arguments.token_file))
    Access(config.host, token)  # refuses before the policy is loaded, which takes long
    certificate, key = _path(arguments.cert), _path(arguments.key)
    _check_pair(certificate, key)
    tls = None if certificate is None or key is None else tls_context(certificate, key)
    if tls is None and not is_loopback(config.host):
        print("so101 serve: without --cert the token travels in clear; or use an SSH tunnel")
    scheme = "ws" if tls is None else "wss"
    with _prepared(arguments) as (served, on_busy, beside):
        server = PolicyServer(served, config, token=token, tls=tls, on_busy=on_busy)

        def on_ready(port: int) -> None:
            print(f"so101 serve: {scheme}://{config.host}:{port} checkpoint {served.sha256[:12]}")

        asyncio.run(serve_until_signal(server, on_ready, beside))
    print("so101 serve: ended")
    return 0


@contextmanager
def _prepared(arguments: argparse.Namespace) -> Iterator["_Prepared"]:
    """Yield what is served first, who is told of requests, and what runs beside the server."""
    if not arguments.learn:
        served, beside = _load(arguments)
        yield served, lambda is_busy: None, beside
        return
    from so101.config import load_yaml
    from so101.errors import ConfigError
    from so101.policies.checkpoints.copy import find_checkpoint

    named = _path(arguments.checkpoint)
    if named is None or arguments.follow:
        raise ConfigError("serve: --learn needs a --checkpoint, and goes without --follow")
    from learner_node.serving_work import read_config
    from so101_bringup.serve_job import learning  # torch, takes seconds

    values = load_yaml(Path(arguments.learning).expanduser()) if arguments.learning else {}
    config = read_config(values, arguments.learning or "so101 serve")
    with learning(
        find_checkpoint(named),
        open_store(arguments.learn, arguments.cache),
        config,
        device=arguments.device,
        say=lambda line: print(f"so101 serve: {line}", flush=True),
    ) as made:
        yield made.served, made.on_busy, [made.companion]


def _config(arguments: argparse.Namespace) -> "ServerConfig":
    from so101.config import from_mapping, load_yaml
    from so101.policies.remote.server.config import ServerConfig

    values: dict[str, Any] = {"host": arguments.host, "port": arguments.port}
    if arguments.learn:
        values["swap_rule"] = "episode"
    if arguments.openpi:
        values["openpi"] = load_yaml(Path(arguments.openpi).expanduser())
    return from_mapping(ServerConfig, values, arguments.openpi or "so101 serve")


def _load(arguments: argparse.Namespace) -> tuple["Served", list["Companion"]]:
    """Return what is served first, and what runs beside the server."""
    from so101.errors import ConfigError
    from so101.policies.checkpoints.copy import find_checkpoint

    followed, named = _path(arguments.follow), _path(arguments.checkpoint)
    first = named or followed
    if first is None:
        raise ConfigError("serve: name a --checkpoint, or a run to --follow")
    from so101.policies.remote.server.following import (  # torch, takes seconds
        Follower,
        load_served,
    )
    from so101.policies.remote.server.running import following

    def load(path: Path) -> "Served":
        return load_served(path, arguments.device)

    served = load(find_checkpoint(first))
    if followed is None:
        return served, []
    inside = followed / "checkpoints"
    follower = Follower(inside if inside.is_dir() else followed, load)
    return served, [following(follower, lambda line: print(f"so101 serve: {line}"))]


def _path(text: str) -> Path | None:
    return Path(text).expanduser().absolute() if text else None


def _check_pair(certificate: Path | None, key: Path | None) -> None:
    from so101.errors import ConfigError

    if (certificate is None) != (key is None):
        raise ConfigError("serve: --cert and --key belong together")
