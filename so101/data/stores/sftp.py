"""sftp with known hosts only: fsspec's own trusts whoever answers."""

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem


class KnownHostsSftp(SFTPFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An sftp file system that refuses hosts that are not in ``~/.ssh/known_hosts``."""

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        self.client.load_system_host_keys()
        self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        self.client.connect(self.host, **self.ssh_kwargs)
        self.ftp = self.client.open_sftp()
        self.ftp.get_channel().settimeout(self.ssh_kwargs.get("timeout"))
