"""A Django project in a temporary folder, its real cluster as processes, and ways to look at both.

The test's own process is part of the project: while one is open, `async_task`, `fetch` and the models
use its database, under the alias `project`. The cluster is `manage.py qcluster` in a session of its
own, so that every descendant can be found again, an orphan too. Every wait has an end, and shows the
end of the log when it comes to it.
"""

from __future__ import annotations

import os
import pprint
import signal
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import psycopg
import pymysql
import pytest
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from djq.models import OrmQ, Task
from tests import settings

ALIAS = "project"
OF_THE_PROJECT = ("djq", "django_cache")
ROOT = Path(__file__).resolve().parents[2]
LOG_LINES_SHOWN = 40
LOOK_SECONDS = 0.02
GRACE_SECONDS = 10
"""How much later than said all may come on a busy machine. Where time is the promise, a test asserts it."""
START_SECONDS_MAX = 30

SQLITE_OPTIONS = {
    "sqlite": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    },
    "sqlite-defaults": {},
}
SERVERS = {"postgres": "postgres", "postgres-pool": "postgres", "mariadb": "mariadb"}
"""The kinds of database that are on a server, and the server's name in tests.settings."""

LOCAL_CACHE = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "project_settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""

IN_TERMINAL = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
"""
"""Makes standard input the controlling terminal of the program's session."""


class Router:
    """Everything of djq and a cache in the database is in the project's, and nothing else is."""

    def db_for_read(self, model, **_):
        return ALIAS if model._meta.app_label in OF_THE_PROJECT else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **_):
        return (app_label in OF_THE_PROJECT) == (db == ALIAS)


def on(*kinds):
    """Run the test on each of these databases."""
    return pytest.mark.parametrize("kind", [pytest.param(k, marks=marks_of(k)) for k in kinds])


def marks_of(kind):
    """A server that is away is a skip; in CI it is a failure when the test begins."""
    name = SERVERS.get(kind)
    if name is None or name in settings.DATABASES or os.environ.get("CI"):
        return ()
    server = settings.SERVERS[name]
    reason = f"{name} does not answer on {server['HOST']}:{server['PORT']}"
    return (pytest.mark.skip(reason=reason),)


def wait_until(condition, seconds, what, log=lambda: ""):
    """Wait for the condition to hold; give what it gave."""
    seconds += GRACE_SECONDS
    end = time.monotonic() + seconds
    while not (held := condition()):
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}\n{log()}")
        time.sleep(LOOK_SECONDS)
    return held


class Project:
    """A Django project with djq in it, as a user would have it."""

    def __init__(self, folder, kind, database, caches, q_cluster):
        self.folder = folder
        self.kind = kind
        self.name = f"t{uuid.uuid4().hex[:10]}"
        self.clusters = []
        self.q_cluster = {
            "name": self.name,
            "orm": "default",
            "workers": 2,
            "poll": 0.05,
            "save_limit": 0,
            "scheduler": False,
            **q_cluster,
        }
        (folder / "manage.py").write_text(MANAGE)
        (folder / "in_terminal.py").write_text(IN_TERMINAL + MANAGE)
        self._write_settings(database, caches)

    def _write_settings(self, database, caches):
        values = {
            "SECRET_KEY": settings.SECRET_KEY,
            "USE_TZ": True,
            "INSTALLED_APPS": ["django.contrib.contenttypes", "djq"],
            "DATABASES": {"default": database},
            "CACHES": caches,
            "Q_CLUSTER": self.q_cluster,
        }
        lines = [f"{name} = {pprint.pformat(value)}" for name, value in values.items()]
        if self.kind == "mariadb":
            lines.insert(0, "import pymysql; pymysql.install_as_MySQLdb()")
        (self.folder / "project_settings.py").write_text("\n".join(lines))

    @property
    def environment(self):
        path = os.pathsep.join([str(self.folder), str(ROOT)])
        return {**os.environ, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "project_settings"}

    def file(self, name):
        return str(self.folder / name)

    def lines(self, name):
        """The lines that tasks have written to this file."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def start(self, *arguments, ready="running.", program="manage.py", stdin=None):
        """Start `manage.py qcluster`, and wait until its log says that it is ready."""
        cluster = RunningCluster(self, [program, "qcluster", *arguments], stdin=stdin)
        self.clusters.append(cluster)
        cluster.wait_for_line(ready, START_SECONDS_MAX)
        return cluster

    def script(self, text, seconds=30):
        """Run a program of the project's own, in a session of its own; give what it wrote."""
        (self.folder / "program.py").write_text(f"import django\ndjango.setup()\n{text}")
        cluster = RunningCluster(self, ["program.py"], stdout=self.folder / "program.out")
        self.clusters.append(cluster)
        code = cluster.wait_for_exit(seconds)
        assert code == 0, cluster.tail()
        return (self.folder / "program.out").read_text()

    def wait_for_outcomes(self, count, seconds):
        wait_until(
            lambda: Task.objects.count() >= count,
            seconds,
            f"{count} outcomes",
            lambda: f"{Task.objects.count()} outcomes, {self.queued()} queued\n{self.tails()}",
        )

    def queued(self):
        return OrmQ.objects.count()

    def tails(self):
        return "\n".join(cluster.tail() for cluster in self.clusters)

    def processes(self):
        """Every process of this project's clusters: by session, and by the title that it shows."""
        sessions = {cluster.pid for cluster in self.clusters}
        found = []
        for process in psutil.process_iter():
            try:
                ours = os.getsid(process.pid) in sessions
                ours = ours or f"[{self.name}]" in " ".join(process.cmdline())
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, ProcessLookupError):
                continue
        return found

    def end(self):
        """Stop whatever runs; gives what had to be killed because it would not go."""
        for cluster in self.clusters:
            cluster.end()
        left = [(process.pid, _title(process)) for process in self.processes()]
        for pid, _ in left:
            _kill(pid)
        return left


class RunningCluster:
    """A command of the project in a session of its own, with its log."""

    def __init__(self, project, arguments, stdout=None, stdin=None):
        self.project = project
        self.log_path = project.folder / f"{uuid.uuid4().hex[:6]}.log"
        with self.log_path.open("wb") as log, (stdout or self.log_path).open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=project.folder,
                env=project.environment,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=out,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_lines(self):
        """What djq has logged: level and words, without the times."""
        return [line.split(" [Q] ", 1)[1] for line in self.log.splitlines() if " [Q] " in line]

    def tail(self):
        return "\n".join(["-- log", *self.log.splitlines()[-LOG_LINES_SHOWN:]])

    def wait_for_line(self, part, seconds, count=1):
        wait_until(lambda: self.log.count(part) >= count, seconds, f"{part!r} logged", self.tail)

    def pids(self, role):
        """The processes of this cluster that show this role, oldest first."""
        wanted = f"djq {role} [{self.project.name}]"
        return sorted(p.pid for p in self.descendants() if _title(p) == wanted)

    def descendants(self):
        """Every other process of this cluster's session."""
        processes = self.project.processes()
        return [p for p in processes if p.pid != self.pid and _session(p) == self.pid]

    def is_full(self):
        """Each seat is taken by exactly one process."""
        seats = {"sentinel": 1, "pusher": 1, "monitor": 1}
        seats["worker"] = self.project.q_cluster["workers"]
        seats["scheduler"] = int(self.project.q_cluster["scheduler"])
        return {role: len(self.pids(role)) for role in seats} == seats

    def wait_until_full(self, seconds):
        wait_until(self.is_full, seconds, "every seat taken", self.tail)

    def signal(self, number=signal.SIGTERM):
        os.kill(self.pid, number)

    def wait_for_exit(self, seconds):
        seconds += GRACE_SECONDS
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {seconds} s\n{self.tail()}")

    def stop(self, seconds=15):
        """Stop as a user would; gives the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait_for_exit(seconds)

    def end(self):
        if self.process.poll() is None:
            for _ in range(3):
                self.signal(signal.SIGTERM)
                time.sleep(0.05)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def _title(process):
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def _session(process):
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@contextmanager
def open_project(folder, kind, q_cluster, caches=None, port=None):
    """A project with its database and its tables; this process belongs to it meanwhile.

    Its clusters find the database's server at `port`, if that is given.
    """
    caches = caches or LOCAL_CACHE
    with ExitStack() as stack:
        database = stack.enter_context(_database(folder, kind))
        theirs = database if port is None else {**database, "PORT": port}
        project = Project(folder, kind, theirs, caches, q_cluster)
        # Only the cluster has a pool: this process takes one connection, and gives it back.
        complete = connections.configure_settings(
            {"default": {**database, "OPTIONS": _here(database)}}
        )
        connections.settings[ALIAS] = complete["default"]
        stack.callback(_forget_alias)
        orm = ALIAS if project.q_cluster["orm"] else None
        here = {**project.q_cluster, "orm": orm}
        stack.enter_context(
            override_settings(Q_CLUSTER=here, DATABASE_ROUTERS=[Router()], CACHES=caches)
        )
        call_command("migrate", "djq", database=ALIAS, verbosity=0)
        left = []
        try:
            yield project
        finally:
            left = project.end()
        assert not left, f"processes are left: {left}\n{project.tails()}"


def _here(database):
    return {key: value for key, value in database.get("OPTIONS", {}).items() if key != "pool"}


def _forget_alias():
    connections[ALIAS].close()
    del connections[ALIAS]
    del connections.settings[ALIAS]


@contextmanager
def _database(folder, kind):
    """Settings of a database of this test's own."""
    if kind not in SERVERS:
        yield {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(folder / "db.sqlite3"),
            "OPTIONS": SQLITE_OPTIONS[kind],
        }
        return
    which = SERVERS[kind]
    if which not in settings.DATABASES:
        pytest.fail(f"CI needs every database, and {which} does not answer", pytrace=False)
    server = {key: value for key, value in settings.SERVERS[which].items() if key != "TEST"}
    if kind == "postgres-pool":
        server["OPTIONS"] = {"pool": {"min_size": 2, "timeout": 5}}
    name = f"djq_cluster_{os.getpid()}_{uuid.uuid4().hex[:6]}"
    _on_server(which, server, f"CREATE DATABASE {name}")
    try:
        yield {**server, "NAME": name}
    finally:
        force = " WITH (FORCE)" if which == "postgres" else ""
        _on_server(which, server, f"DROP DATABASE {name}{force}")


def _on_server(kind, server, statement):
    where = {"host": server["HOST"], "port": server["PORT"], "user": server["USER"]}
    password = server["PASSWORD"]
    if kind == "postgres":
        with psycopg.connect(
            **where, password=password, dbname=server["NAME"], autocommit=True
        ) as connection:
            connection.execute(statement)
        return
    connection = pymysql.connect(**where, password=password)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
