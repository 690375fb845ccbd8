"""Who is let in: by address, token, origin and host."""

import os
import ssl

import pytest

from so101.errors import ConfigError
from so101.policies.remote.server.access import Access, is_loopback, read_token, tls_context

TOKEN = "correct-horse-battery-staple"
BEARER = [f"Bearer {TOKEN}"]


def token_file(tmp_path, text=TOKEN + "\n", mode=0o600):
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_needs_no_token(host):
    assert is_loopback(host)
    assert Access(host, None).refusal([], [], "localhost:8000") is None


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.168.1.4", "robot.local", "127.0.0.1.evil"]
)
def test_any_other_address_needs_one_to_start(host):
    assert not is_loopback(host)
    with pytest.raises(ConfigError, match="--token-file"):
        Access(host, None)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Api-Key"])
def test_the_right_token_is_let_in(scheme):
    assert Access("0.0.0.0", TOKEN).refusal([f"{scheme} {TOKEN}"], [], "robot:8000") is None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        [TOKEN],
        ["Bearer"],
        ["Bearer "],
        ["Bearer " + TOKEN[:-1]],
        ["Bearer " + TOKEN + "x"],
        ["Bearer " + TOKEN.upper()],
        ["Basic " + TOKEN],
        ["Bearer \udcff"],
        ["Bearer é"],
        BEARER * 2,
        ["Bearer wrong-token-wrong-token", *BEARER],
    ],
)
@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_a_wrong_token_is_not_wherever_there_is_one(headers, host):
    assert Access(host, TOKEN).refusal(headers, [], "127.0.0.1:80") == (401, "unauthorized")


def test_tokens_are_compared_in_constant_time(monkeypatch):
    compared = []

    def compare(one, other):
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr("so101.policies.remote.server.access.hmac.compare_digest", compare)
    access = Access("0.0.0.0", TOKEN)
    for given in ("Bearer x", f"Bearer {TOKEN}", "Basic y", "Bearer " + "z" * 9999):
        access.refusal([given], [], "")
    assert compared == [(32, 32)] * 4


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:8000", ""])
def test_browsers_are_refused_even_with_the_token(origin):
    assert Access("0.0.0.0", TOKEN).refusal(BEARER, [origin], "") == (
        403,
        "browsers may not connect",
    )


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:80", "127.0.0.1:80", "[::1]:80", "0.0.0.0:8"]
)
def test_a_local_server_answers_to_addresses(host):
    assert Access("127.0.0.1", None).refusal([], [], host) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.org:8000", "localhost.evil:80", "", "[x]:8"]
)
def test_a_local_server_answers_to_no_name_that_could_lead_here_by_a_trick(host):
    assert Access("127.0.0.1", None).refusal([], [], host) == (403, "unknown host")


def test_a_token_comes_from_a_file_or_the_environment(tmp_path):
    assert read_token(token_file(tmp_path), {}) == TOKEN
    assert read_token(None, {"SO101_TOKEN": f" {TOKEN}\n"}) == TOKEN
    assert read_token(None, {}) is None


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_token_that_others_may_read_is_refused(tmp_path, mode):
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        read_token(token_file(tmp_path, mode=mode), {})
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("text", ["", "short", "two words of a token", "sixteen\ncharacters\n"])
def test_what_is_no_token_is_refused_and_not_shown(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        read_token(token_file(tmp_path, text), {})
    assert not text or text not in str(caught.value)
    with pytest.raises(ConfigError):
        read_token(None, {"SO101_TOKEN": text})


def test_a_token_file_that_is_missing_or_odd_is_one_line(tmp_path):
    for path in (tmp_path / "none", tmp_path, token_file(tmp_path, "\xff" * 30)):
        with pytest.raises(ConfigError, match="no token"):
            read_token(path, {})
    fifo = tmp_path / "regular"
    os.mkfifo(fifo, 0o600)
    writer = os.open(fifo, os.O_RDWR)  # so that opening it for reading does not wait
    with pytest.raises(ConfigError, match="others may read"):
        read_token(fifo, {})
    os.close(writer)


def test_a_certificate_that_is_none_is_one_line(tmp_path):
    (tmp_path / "cert").write_text("nothing")
    for name in ("cert", "missing"):
        with pytest.raises(ConfigError, match="no certificate"):
            tls_context(tmp_path / name, tmp_path / "cert")


def test_old_tls_is_not_spoken(monkeypatch, tmp_path):
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", lambda *args: None)
    assert tls_context(tmp_path, tmp_path).minimum_version == ssl.TLSVersion.TLSv1_2
