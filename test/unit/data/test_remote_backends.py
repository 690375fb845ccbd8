"""The same round trip over every kind of URL; s3 and sftp are skipped without their packages."""

import os
import socket
import threading
from contextlib import contextmanager

import pytest
from remote_stores import NAMES, content_of, local_copy, make_store

from so101.data.stores.remote_files import RemoteFiles, check_url
from so101.data.stores.remote_store import RemoteStore
from so101.data.stores.upload import Uploader
from so101.errors import RemoteError
from so101.events import LabelEvent


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("bags") / "episodes")


@pytest.fixture
def file_url(tmp_path):
    return f"file://{tmp_path}/remote"


@pytest.fixture
def memory_url(tmp_path):
    import fsspec

    yield f"memory://{tmp_path.name}"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def s3_url(monkeypatch):
    pytest.importorskip("s3fs", reason="s3fs is not installed (extra s3)")
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).mkdir("bucket")
    yield "s3://bucket/team"
    running.stop()


@pytest.fixture
def sftp_url(tmp_path, monkeypatch):
    paramiko = pytest.importorskip("paramiko", reason="paramiko is not installed (extra sftp)")
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = paramiko.RSAKey.generate(2048)
    key.write_private_key_file(str(home / ".ssh" / "id_rsa"))
    (tmp_path / "server").mkdir()
    with sftp_server(paramiko, key) as port:
        hosts = paramiko.HostKeys()
        hosts.add(f"[127.0.0.1]:{port}", key.get_name(), key)
        hosts.save(str(home / ".ssh" / "known_hosts"))
        yield f"sftp://ada@127.0.0.1:{port}{tmp_path}/server/team"


@contextmanager
def sftp_server(paramiko, key):
    """Serve the file system on loopback to whoever has the key; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    transports = []

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _files_class(paramiko))
            transports.append(transport)
            transport.start_server(server=_login_class(paramiko, key)())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)
    for transport in transports:
        transport.close()


def _login_class(paramiko, key):
    class Login(paramiko.ServerInterface):
        def get_allowed_auths(self, username):
            return "publickey"

        def check_auth_publickey(self, username, offered):
            is_good = username == "ada" and offered.asbytes() == key.asbytes()
            return paramiko.AUTH_SUCCESSFUL if is_good else paramiko.AUTH_FAILED

        def check_channel_request(self, kind, channel):
            return paramiko.OPEN_SUCCEEDED

    return Login


def _answer(paramiko, call):
    try:
        result = call()
    except OSError as error:
        return paramiko.SFTPServer.convert_errno(error.errno)
    return paramiko.SFTP_OK if result is None else result


def _files_class(paramiko):
    """Return the least that an sftp server needs, on the real file system."""

    class Handle(paramiko.SFTPHandle):
        def stat(self):
            return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))

    class Files(paramiko.SFTPServerInterface):
        def stat(self, path):
            return _answer(paramiko, lambda: paramiko.SFTPAttributes.from_stat(os.stat(path)))

        lstat = stat

        def list_folder(self, path):
            of = paramiko.SFTPAttributes.from_stat
            return _answer(
                paramiko, lambda: [of(entry.stat(), entry.name) for entry in os.scandir(path)]
            )

        def mkdir(self, path, attr):
            return _answer(paramiko, lambda: os.mkdir(path))

        def remove(self, path):
            return _answer(paramiko, lambda: os.remove(path))

        def posix_rename(self, old, new):
            return _answer(paramiko, lambda: os.replace(old, new))

        def open(self, path, flags, attr):
            handle = Handle(flags)
            mode = "wb" if flags & os.O_TRUNC else "r+b" if flags & os.O_WRONLY else "rb"
            opened = _answer(paramiko, lambda: open(path, mode))  # noqa: SIM115
            if isinstance(opened, int):
                return opened
            handle.readfile = handle.writefile = opened
            return handle

    return Files


@pytest.mark.parametrize("kind", ["file", "memory", "s3", "sftp"])
def test_every_kind_of_url_keeps_episodes_and_labels(bags, tmp_path, request, kind):
    url = check_url(request.getfixturevalue(f"{kind}_url"))
    store = local_copy(bags, tmp_path / "local")
    store.add_label(LabelEvent(stamp_ns=1, episode="e0", rater="ada", outcome="failure"))
    files = RemoteFiles(url)
    report = Uploader(store, files).run()
    assert (report.sent, report.failed, report.refused) == (list(NAMES), {}, {})
    assert Uploader(store, RemoteFiles(url)).run(is_checked=True).present == list(NAMES)
    there = RemoteStore(RemoteFiles(url), tmp_path / "cache")
    for entry in there.episodes():
        there.fetch(entry)
    assert content_of(there.root) == content_of(bags)
    there.add_label(LabelEvent(stamp_ns=2, episode="e0", rater="bob", outcome="truncated"))
    assert sorted(files.sizes("labels").values())[:-1] == []
    place = f"bags/{NAMES[0]}"
    (content,) = {one.content for one in there._manifests.values() if one.directory == NAMES[0]}
    files.put(tmp_path / "local" / NAMES[1] / "metadata.yaml", f"{place}/{content}/e0_0.mcap")
    assert Uploader(store, files).run(is_checked=True).sent == [NAMES[0]]
    assert len(Uploader(store, files).run(deletes=True).deleted) == 3
    assert store.episodes() == []
    assert there.rebuild_index() == 3
    assert len(RemoteFiles(url).sizes("index")) == 1
    assert files.read("nothing") is None
    assert (files.sha256("nothing"), files.sizes("nothing")) == ("", {})
    files.remove("nothing")


def test_an_sftp_host_that_is_not_known_is_refused(sftp_url, tmp_path):
    (tmp_path / "home" / ".ssh" / "known_hosts").unlink()
    with pytest.raises(RemoteError, match="not found in known_hosts"):
        RemoteFiles(sftp_url).sizes("manifests")


def test_a_connection_that_broke_is_opened_again(sftp_url):
    files = RemoteFiles(sftp_url)
    files.write("a", b"1")
    files._open[0].client.close()
    with pytest.raises(RemoteError):
        files.read("a")
    assert files.read("a") == b"1"


def test_a_remote_that_does_not_answer_is_an_error_of_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(RemoteError, match=r"cannot write a/b") as caught:
        RemoteFiles(f"file://{tmp_path}/file/team").write("a/b", b"x")
    assert "\n" not in str(caught.value)
