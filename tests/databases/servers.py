"""Database servers for the tests: those that this machine has, started on a free port and stopped at the end.

PostgreSQL comes from the package ``pgserver`` or from Debian's, MariaDB from Debian's. Neither runs as root, so root
starts them as the user nobody. A test may stop, crash and start one under an open gallery.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa

from facedex.store import Database
from facedex.store.tables import VERSION_TABLE

PASSWORD = "s3cret/pass w@rd"
"""With letters that must be quoted in a URL."""

START_S = 60.0
NOBODY = 65534
AS_USER: dict[str, Any] = (
    {"user": NOBODY, "group": NOBODY, "extra_groups": []} if hasattr(os, "getuid") and os.getuid() == 0 else {}
)


class MissingError(Exception):
    """What a server needs is not installed."""


class Server(ABC):
    """A server with a folder of its own; raises MissingError when it is not installed."""

    driver: ClassVar[str]
    first_database: ClassVar[str]
    user: ClassVar[str] = "facedex"
    drop_by_force: ClassVar[str] = ""
    stop_signal: ClassVar[int]
    crash_signal: ClassVar[int]

    def __init__(self) -> None:
        module = self.driver.partition("+")[2]
        if find_spec(module) is None:
            raise MissingError(f"needs the package {module}: make EXTRAS=test,servers test-all")
        self.folder = Path(tempfile.mkdtemp(prefix="facedex-"))  # other users can enter it, unlike pytest's
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.data.mkdir(mode=0o700)
        if AS_USER:
            for folder in (self.folder, self.data):
                os.chown(folder, NOBODY, NOBODY)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._numbers = itertools.count(1)
        self._ready = ""
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.make()
            self.start()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def make(self) -> None:
        """Make the data folder."""

    @abstractmethod
    def command(self) -> list[str]:
        """What runs the server in the foreground."""

    def url(self, database: str, **query: str) -> str:
        """The URL of a database, password and all."""
        parts: dict[str, Any] = {"username": self.user, "password": PASSWORD, "host": "127.0.0.1", "port": self.port}
        return sa.URL.create(self.driver, database=database, query=query, **parts).render_as_string(False)

    def new_database(self, *, tables: bool) -> str:
        """Make a database, with the tables of this version or empty; returns its name."""
        name = f"facedex_{next(self._numbers)}"
        if tables:
            if not self._ready:
                self._ready = self.new_database(tables=False)
                Database(self.url(self._ready)).close()
            self.copy_tables(self._ready, name)
        else:
            self.admin(f"CREATE DATABASE {name}")
        return name

    @abstractmethod
    def copy_tables(self, ready: str, name: str) -> None:
        """Make a database with the tables of another, which costs less than the migrations."""

    def drop(self, name: str) -> None:
        self.admin(f"DROP DATABASE {name}{self.drop_by_force}")

    def admin(self, statement: str, database: str | None = None) -> list[Any]:
        """Run a statement without the store; return its rows."""
        engine = sa.create_engine(
            self.url(database or self.first_database), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            result = connection.exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.folder, **AS_USER)
        until = time.monotonic() + START_S
        while True:
            try:
                self.admin("SELECT 1")
            except sa.exc.DBAPIError as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    told = (self.folder / "log").read_text(errors="replace").splitlines()[-5:]
                    raise RuntimeError(f"{self.command()[0]} did not start: {told}") from error
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Shut it down cleanly, without waiting for its clients."""
        self._end(self.stop_signal)

    def crash(self) -> None:
        """End it at once; it recovers from its log when it is started again."""
        self._end(self.crash_signal)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: int) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(START_S)


class Postgresql(Server):
    driver = "postgresql+psycopg"
    first_database = "postgres"
    drop_by_force = " WITH (FORCE)"
    stop_signal = signal.SIGINT
    crash_signal = signal.SIGQUIT

    def make(self) -> None:
        self._programs = self._find()
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        how = ["--username", self.user, "--pwfile", str(secret), "--auth=scram-sha-256", "--encoding=UTF8"]
        run([str(self._programs / "initdb"), "-D", str(self.data), *how, "--locale=C", "--no-sync"], self.folder)

    def command(self) -> list[str]:
        place = ["-D", str(self.data), "-k", str(self.folder), "-h", "127.0.0.1", "-p", str(self.port)]
        return [str(self._programs / "postgres"), *place]

    def copy_tables(self, ready: str, name: str) -> None:
        self.admin(f"CREATE DATABASE {name} TEMPLATE {ready}")

    def _find(self) -> Path:
        spec = find_spec("pgserver")
        packed = Path(spec.origin).parent / "pginstall" if spec is not None and spec.origin is not None else None
        if packed is not None and (packed / "bin" / "postgres").exists():
            if not runs(packed / "bin" / "postgres"):  # it lies where nobody may read
                packed = Path(shutil.copytree(packed, self.folder / "pginstall"))
            return packed / "bin"
        for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
            if (folder / "postgres").exists() and (folder / "initdb").exists():
                return folder
        raise MissingError("needs PostgreSQL: make EXTRAS=test,servers test-all, or apt install postgresql")


class Mariadb(Server):
    driver = "mysql+pymysql"
    first_database = "information_schema"
    stop_signal = signal.SIGTERM
    crash_signal = signal.SIGKILL

    def make(self) -> None:
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
        server, install = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
        if server is None or install is None:
            raise MissingError("needs MariaDB: apt install mariadb-server, then make EXTRAS=test,servers test-all")
        self._server = server
        account = f"'{self.user}'@'127.0.0.1'"
        (self.folder / "init.sql").write_text(
            f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO {account} WITH GRANT OPTION;\n"
        )
        run([install, "--no-defaults", f"--datadir={self.data}", "--skip-test-db"], self.folder)

    def command(self) -> list[str]:
        options = {
            "datadir": self.data,
            "socket": self.folder / "socket",
            "pid-file": self.folder / "pid",
            "port": self.port,
            "bind-address": "127.0.0.1",
            "init-file": self.folder / "init.sql",
            "character-set-server": "latin1",  # what many old servers have, and what must not matter
            "innodb-buffer-pool-size": "64M",
        }
        return [self._server, "--no-defaults", "--skip-name-resolve", *(f"--{key}={it}" for key, it in options.items())]

    def copy_tables(self, ready: str, name: str) -> None:
        engine = sa.create_engine(self.url(ready), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            tables = [row[0] for row in connection.exec_driver_sql("SHOW TABLES")]
            made = [connection.exec_driver_sql(f"SHOW CREATE TABLE {table}").one()[1] for table in tables]
            for statement in ["SET foreign_key_checks = 0", f"CREATE DATABASE {name}", f"USE {name}", *made]:
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql(f"INSERT INTO {VERSION_TABLE} SELECT * FROM {ready}.{VERSION_TABLE}")


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=START_S, **AS_USER)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stdout[-500:]} {done.stderr[-500:]}")


def runs(program: Path) -> bool:
    try:
        return subprocess.run([program, "--version"], capture_output=True, **AS_USER).returncode == 0
    except OSError:
        return False
