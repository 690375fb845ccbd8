"""Who may speak to a policy server: tokens, certificates, and what a request's head must say."""

import hashlib
import hmac
import ipaddress
import os
import ssl
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from so101.errors import ConfigError

TOKEN_VARIABLE = "SO101_TOKEN"
MIN_TOKEN = 16
_SCHEMES = ("bearer", "api-key")
"""``Api-Key`` is how openpi's client names it."""


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address that a server binds to."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(path: Path | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the secret of a server, from a file or else from the environment.

    It is never an argument: the command lines of all processes are public.

    Args:
        path: File with the token in its only line; None takes ``SO101_TOKEN``.
        environ: The environment.

    Returns:
        The token, or None when there is neither.

    Raises:
        ConfigError: The file cannot be read, others may read it too, or it holds no token.
    """
    if path is None:
        text = environ.get(TOKEN_VARIABLE)
        return None if text is None else _checked(text, TOKEN_VARIABLE)
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or mode & 0o077:
                raise ConfigError(
                    f"{path}: others may read this token (mode {stat.S_IMODE(mode):04o}); "
                    f"chmod 600 {path}"
                )
            return _checked(file.read(4096), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not plain text"
        raise ConfigError(f"{path}: no token: {reason}") from error


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what a server encrypts with.

    Raises:
        ConfigError: A file is missing, or they are no certificate and its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{certificate}, {key}: no certificate and its key: {error}") from error
    return context


class Access:
    """Decides over the head of a request."""

    def __init__(self, host: str, token: str | None) -> None:
        """Guard a server.

        Args:
            host: Address it binds to.
            token: Its secret; None needs none, which is allowed on loopback only.

        Raises:
            ConfigError: Others could reach it and there is no token.
        """
        self._is_local = is_loopback(host)
        if token is None and not self._is_local:
            raise ConfigError(
                f"serving on {host}: other machines can reach it, so it needs a token: "
                f"--token-file FILE, or {TOKEN_VARIABLE} in the environment"
            )
        self._digest = None if token is None else _digest(token)

    def refusal(
        self, authorization: Sequence[str], origin: Sequence[str], host: str
    ) -> tuple[int, str] | None:
        """Return the HTTP status and word of a request that is turned away; None lets it in.

        A browser always names its Origin, so a web page cannot reach a server on the user's own
        machine, nor through a host name that it has made to point there.

        Args:
            authorization: Values of the header of this name.
            origin: Values of the header of this name.
            host: Value of the header of this name.
        """
        if origin:
            return 403, "browsers may not connect"
        if self._is_local and not _is_local_name(host):
            return 403, "unknown host"
        if self._digest is None:
            return None
        if len(authorization) != 1 or not self._is_right(authorization[0]):
            return 401, "unauthorized"
        return None

    def _is_right(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        given = _digest(token)  # of equal lengths, so that the time tells nothing
        return hmac.compare_digest(given, self._digest or b"") and scheme.lower() in _SCHEMES


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _is_local_name(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True  # an address leads nowhere else, unlike a name


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if len(token) < MIN_TOKEN or not token.isascii() or len(token.split()) != 1:
        raise ConfigError(f"{where}: a token is one word of at least {MIN_TOKEN} characters")
    return token
