"""A Django project with djq's admin, on a web server in this process and a database in a file.

All that is asked for goes to the project's database, this process's own questions too; a cluster of the
project is started as a user would start it. Pages are sent with a strict Content-Security-Policy.
"""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager

from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.db import connections
from django.test import Client, override_settings
from django.test.testcases import LiveServerThread

from tests import settings
from tests.browser.chromium import SECONDS_MAX
from tests.cluster.harness import ALIAS, LOCAL_CACHE, SQLITE_OPTIONS, Project

POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
GUARD_SECONDS = 0.1


def with_policy(get_response):
    """Send each page with the policy that a careful project has."""

    def middleware(request):
        response = get_response(request)
        response["Content-Security-Policy"] = POLICY
        return response

    return middleware


class Requests:
    """Counts what the server is at, so that nothing of the project is taken away before it is done."""

    def __init__(self):
        self._changed = threading.Condition()
        self._count = 0

    def _change(self, by):
        with self._changed:
            self._count += by
            self._changed.notify_all()

    def _begin(self, **_):
        self._change(1)

    def _end(self, **_):
        self._change(-1)

    def wait(self):
        with self._changed:
            assert self._changed.wait_for(lambda: not self._count, SECONDS_MAX), "a page hangs"

    def __enter__(self):
        # Django has closed its connections when it comes to the last receiver.
        request_started.connect(self._begin)
        request_finished.connect(self._end)
        return self

    def __exit__(self, *_):
        request_started.disconnect(self._begin)
        request_finished.disconnect(self._end)


class Everything:
    """All rows are in the project's database."""

    def db_for_read(self, model, **_):
        return ALIAS

    db_for_write = db_for_read


@contextmanager
def _database(path):
    database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": SQLITE_OPTIONS["sqlite"],
    }
    connections.settings[ALIAS] = connections.configure_settings({"default": database})["default"]
    # Types of content are remembered by the alias.
    ContentType.objects.clear_cache()
    try:
        with override_settings(DATABASE_ROUTERS=[Everything()]):
            yield database
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.settings[ALIAS]
        ContentType.objects.clear_cache()


def make_tables(path):
    """Make the file of a database with all tables, to be copied by each test."""
    with _database(path):
        call_command("migrate", database=ALIAS, verbosity=0)


class Site:
    """The project, its address, its users."""

    def __init__(self, project, url):
        self.project = project
        self.url = url

    def __call__(self, path=""):
        """The address of a page of the admin."""
        return f"{self.url}/admin/{path}"

    def user(self, name, *permissions, **fields):
        """Somebody of the staff with these permissions, as `view_task`."""
        user = User.objects.create_user(name, password=name, is_staff=True, **fields)
        chosen = Permission.objects.filter(codename__in=permissions)
        assert {each.codename for each in chosen} == set(permissions)
        user.user_permissions.set(chosen)
        return user

    def cookie(self, user):
        """What a browser has after a log-in."""
        client = Client()
        client.force_login(user)
        (cookie,) = client.cookies.values()
        return {"name": cookie.key, "value": cookie.value, "url": self.url}


@contextmanager
def open_site(tables, folder, **q_cluster):
    """The project with a copy of the tables; its server answers while this is open."""
    path = folder / "db.sqlite3"
    shutil.copy(tables, path)
    with _database(path) as database:
        project = Project(
            folder, "sqlite", database, LOCAL_CACHE, {"guard_cycle": GUARD_SECONDS, **q_cluster}
        )
        with override_settings(
            Q_CLUSTER={**project.q_cluster, "orm": ALIAS},
            CACHES=LOCAL_CACHE,
            ALLOWED_HOSTS=["localhost"],
            MIDDLEWARE=[*settings.MIDDLEWARE, "tests.browser.pages.with_policy"],
        ):
            left = []
            try:
                with Requests() as requests, _server() as url:
                    yield Site(project, url)
                    requests.wait()
            finally:
                left = project.end()
            assert not left, f"processes are left: {left}\n{project.tails()}"


@contextmanager
def _server():
    """Answers in threads, each with connections of its own; none is asked for the usual database."""
    thread = LiveServerThread("localhost", StaticFilesHandler)
    thread.daemon = True
    thread.start()
    thread.is_ready.wait()
    if thread.error:
        raise thread.error
    try:
        yield f"http://localhost:{thread.port}"
    finally:
        thread.terminate()
