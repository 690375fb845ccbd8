"""The link: it waits no longer than told, notices what is gone, and comes back."""

import contextlib
import http.server
import threading
import time

import numpy as np
import pytest
from proxy import Proxy
from websockets.sync.server import serve

from so101.errors import ConfigError, ServerLostError, ServerRefusedError
from so101.policies.remote.client.link import Link, LinkConfig
from so101.policies.remote.client.websocket import Address, open_websocket

QUICK = LinkConfig(
    connect=2.0, ping_interval=0.1, ping_timeout=0.3, first_delay=0.02, longest_delay=0.1
)


class EchoServer:
    """Answers every message with itself after a while, on a port that survives a restart."""

    def __init__(self, port=0):
        self.delay_s = 0.0
        self.silent = False
        self._server = serve(self._answer, "127.0.0.1", port, ping_interval=None, max_size=None)
        self.port = self._server.socket.getsockname()[1]
        self._connections = set()
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _answer(self, connection):
        self._connections.add(connection)
        with contextlib.suppress(Exception):
            for message in connection:
                time.sleep(self.delay_s)
                if not self.silent:
                    connection.send(message)

    def close(self):
        self._server.shutdown()
        for connection in self._connections:
            connection.close_timeout = 0.0
            connection.close()
        self._thread.join()


@pytest.fixture
def server():
    made = EchoServer()
    yield made
    made.close()


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as made:
        yield made


@pytest.fixture
def link(proxy):
    made = make(proxy.port)
    made.open()
    yield made
    made.close()


def make(port, config=QUICK, **options):
    url = f"ws://127.0.0.1:{port}"

    def dial(deadline_s):
        return open_websocket(Address(url=url), deadline_s=deadline_s, clock=time.monotonic)

    return Link(url, dial, config, rng=np.random.default_rng(0), **options)


def ask(link, message=b"hello", within_s=1.0):
    def take(answer):
        return answer if answer == message else None

    return link.exchange([message], take, time.monotonic() + within_s)


def eventually(condition, within_s=5.0):
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.005)


def comes_back(link, message=b"again"):
    def works():
        with contextlib.suppress(ServerLostError):
            return ask(link, message, 0.5) == message
        return False

    eventually(works)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 301_056])
def test_a_message_of_any_length_comes_back_whole(link, size):
    message = np.random.default_rng(size).bytes(size)
    assert ask(link, message) == message


def test_a_missed_deadline_is_an_error_and_the_late_answer_is_nobodys(server, link):
    server.delay_s = 0.3
    began = time.monotonic()
    with pytest.raises(ServerLostError, match=r"127\.0\.0\.1.*no answer within 0\.\d+ s"):
        ask(link, b"slow", 0.1)
    assert time.monotonic() - began < 0.25
    server.delay_s = 0.0
    assert ask(link, b"quick") == b"quick"
    assert link.reconnects == 0


def test_without_names_for_answers_a_missed_deadline_ends_the_connection(server):
    link = make(server.port, keeps_late=False)
    link.open()
    try:
        server.delay_s = 0.3
        with pytest.raises(ServerLostError, match="no answer"):
            link.exchange([b"slow"], lambda answer: answer, time.monotonic() + 0.1)
        server.delay_s = 0.0

        def next_answer():
            with contextlib.suppress(ServerLostError):
                return link.exchange([b"quick"], lambda answer: answer, time.monotonic() + 0.2)

        answers = []
        eventually(lambda: answers.append(next_answer()) or answers[-1])
        assert answers[-1] == b"quick"
        assert link.reconnects >= 1
    finally:
        link.close()


def test_a_connection_that_is_reset_comes_back(proxy, link):
    ask(link)
    proxy.cut()
    eventually(lambda: link.reconnects == 1)
    comes_back(link)


def test_while_there_is_no_connection_a_request_fails_at_once(proxy, server, link):
    proxy.target = 1  # nobody listens there
    proxy.cut()
    eventually(lambda: not link.is_connected)
    began = time.monotonic()
    with pytest.raises(ServerLostError, match=r"127\.0\.0\.1.*not connected"):
        ask(link, within_s=5.0)
    assert time.monotonic() - began < 0.5
    proxy.target = server.port
    comes_back(link)


def test_a_connection_cut_in_the_middle_of_an_answer_comes_back(proxy, link):
    proxy.answer_limit = 1000
    with pytest.raises(ServerLostError, match=r"127\.0\.0\.1"):
        ask(link, bytes(100_000), 2.0)
    proxy.answer_limit = None
    comes_back(link, bytes(100_000))


def test_a_burst_of_loss_costs_deadlines_and_nothing_else(proxy):
    patient = make(proxy.port, LinkConfig(ping_interval=0.1, ping_timeout=5.0))
    patient.open()
    try:
        ask(patient)
        proxy.stall()
        for number in range(3):
            with pytest.raises(ServerLostError, match="no answer"):
                ask(patient, b"lost %d" % number, 0.05)
        proxy.resume()
        assert ask(patient, b"after") == b"after"
        assert patient.reconnects == 0
    finally:
        patient.close()


def test_a_half_open_connection_is_found_out_while_nobody_asks(proxy, link):
    ask(link)
    proxy.fall_silent()
    eventually(lambda: "no sign of life" in link.problem)
    proxy.speak()
    comes_back(link)


def test_a_half_open_connection_keeps_nobody_waiting(proxy, link):
    proxy.fall_silent()
    began = time.monotonic()
    with pytest.raises(ServerLostError):
        ask(link, bytes(300_000), 0.2)
    assert time.monotonic() - began < 0.5
    proxy.speak()
    comes_back(link)


def test_a_server_that_is_restarted_is_found_again(server, proxy, link):
    ask(link)
    server.close()
    eventually(lambda: not link.is_connected)
    again = EchoServer(server.port)
    try:
        comes_back(link)
        assert link.reconnects >= 1
    finally:
        again.close()


def test_closing_ends_the_thread_and_frees_who_waits(server):
    before = threading.active_count()
    link = make(server.port)
    link.open()
    ask(link)
    server.silent = True
    problems = []

    def wait():
        try:
            ask(link, within_s=30.0)
        except ServerLostError as error:
            problems.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: link._lock.locked())
    link.close()
    waiting.join(5.0)
    assert len(problems) == 1
    server.close()
    eventually(lambda: threading.active_count() < before + 1)


def test_a_dozen_losses_leave_one_thread(proxy, link):
    ask(link)
    threads = {thread.name for thread in threading.enumerate() if thread.name.startswith("link")}
    for number in range(12):
        proxy.cut()
        eventually(lambda number=number: link.reconnects == number + 1)
    comes_back(link)
    after = [thread.name for thread in threading.enumerate() if thread.name.startswith("link")]
    assert sorted(after) == sorted(threads)


def test_nobody_there_is_one_clear_line():
    with pytest.raises(ServerLostError, match=r"ws://127\.0\.0\.1:9: cannot be reached: "):
        make(9).open()


def test_who_accepts_and_says_nothing_is_given_up():
    with Proxy(1) as nobody:
        nobody.stall()
        config = LinkConfig(connect=0.2)
        with pytest.raises(ServerLostError):
            make(nobody.port, config).open()


@pytest.mark.parametrize(
    ("version", "error", "words"),
    [
        ("HTTP/1.1", ServerRefusedError, "refuses: 501"),
        ("HTTP/1.0", ServerLostError, "no websocket answers there: .*HTTP"),
    ],
)
def test_a_server_of_another_kind_is_named(version, error, words):
    class Website(http.server.BaseHTTPRequestHandler):
        protocol_version = version

        def log_message(self, *words):
            pass

    other = http.server.HTTPServer(("127.0.0.1", 0), Website)
    thread = threading.Thread(target=other.serve_forever, args=(0.01,))
    thread.start()
    try:
        with pytest.raises(error, match=words):
            make(other.server_address[1]).open()
    finally:
        other.shutdown()
        other.server_close()
        thread.join()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:1", "ws://", "ws://host:x"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigError, match="not a ws://"):
        open_websocket(Address(url=url), deadline_s=time.monotonic() + 1.0, clock=time.monotonic)
