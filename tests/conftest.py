"""The databases that a test may run on."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from functools import lru_cache

import pytest
from django.db import connections

from tests import settings
from tests.caches import redis_prefix
from tests.mongo_servers import mongo_server
from tests.redis_servers import generation_program, redis_server
from tests.sqs_servers import moto_server, roto_server

collect_ignore = ["sample"]  # a project of its own: `tests/kit/test_sample_project.py` runs it

ALIASES = ("default", *settings.SERVERS)


def _parameters(*, transaction):
    """One parameter a database; a server that is away skips its tests, or fails them in CI."""
    parameters = []
    for alias in ALIASES:
        if alias in settings.DATABASES:
            mark = pytest.mark.django_db(
                databases=[alias], transaction=transaction, available_apps=["djq"]
            )
        elif os.environ.get("CI"):
            mark = ()
        else:
            mark = pytest.mark.skip(reason=_away(alias))
        name = "sqlite" if alias == "default" else alias
        parameters.append(pytest.param(alias, marks=mark, id=name))
    return parameters


def _away(alias):
    server = settings.SERVERS[alias]
    return (
        f"{alias} does not answer on {server['HOST']}:{server['PORT']}; start it, or set "
        f"DJQ_TEST_{alias.upper()}_HOST and _PORT"
    )


def _present(alias):
    if alias not in settings.DATABASES:
        pytest.fail(f"CI needs every database: {_away(alias)}", pytrace=False)
    return alias


@pytest.fixture(params=_parameters(transaction=False))
def database(request):
    """The alias of each database in turn; the test runs in a transaction that is rolled back."""
    return _present(request.param)


@pytest.fixture(params=_parameters(transaction=True))
def live_database(request):
    """The alias of each database in turn; what the test does is committed, and flushed after it."""
    return _present(request.param)


@pytest.fixture(params=_parameters(transaction=True)[1:])
def server_database(request):
    """As `live_database`, for the databases that are servers."""
    return _present(request.param)


@pytest.fixture(params=_parameters(transaction=True)[ALIASES.index("postgres") :][:1])
def postgres(request):
    """As `live_database`, for PostgreSQL alone."""
    return _present(request.param)


@pytest.fixture
def redis_name():
    """A name in the real Redis for one test, of whose keys nothing is left."""
    with redis_prefix() as prefix:
        yield prefix


@pytest.fixture(scope="session")
def redis_of(tmp_path_factory):
    """A function that starts a Redis of a generation, once a session: gives its address."""
    with ExitStack() as stack:

        @lru_cache
        def start(generation):
            program = generation_program(generation)
            folder = tmp_path_factory.mktemp("redis")
            port = stack.enter_context(redis_server(folder, program=program))
            return f"redis://127.0.0.1:{port}"

        yield start


@pytest.fixture(scope="session")
def sqs_on_moto():
    """The address of a server that speaks SQS: moto."""
    with moto_server() as url:
        yield url


@pytest.fixture(scope="session")
def sqs_on_roto(tmp_path_factory):
    """The address of another, of other people's make."""
    with roto_server(tmp_path_factory.mktemp("roto")) as url:
        yield url


@pytest.fixture(scope="session")
def mongo_servers(tmp_path_factory):
    """A function that starts a server of `tests.mongo_servers`, once a session: gives its port."""
    with ExitStack() as stack:

        @lru_cache
        def start(kind):
            return stack.enter_context(mongo_server(kind, tmp_path_factory.mktemp(kind)))

        yield start


@pytest.fixture(scope="module")
def pymongo_ends():
    """Wait for the threads of closed clients, half a second: who forks next is not to have them."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("pymongo"):
            thread.join(5)
            assert not thread.is_alive(), f"{thread.name}: somebody has not closed a broker"


@pytest.fixture(scope="module")
def mongo_port(mongo_servers, pymongo_ends):
    """As `mongo_servers`, for a module."""
    return mongo_servers


@pytest.fixture
def add_database(django_db_blocker):
    """A function that adds a database for one test: an alias, its settings, and models to make."""
    added = []

    def add(alias, settings, *models):
        database = connections.configure_settings({"default": settings})["default"]
        connections.settings[alias] = database
        added.append(alias)
        if models:
            with connections[alias].schema_editor() as editor:
                for model in models:
                    editor.create_model(model)
        return alias

    with django_db_blocker.unblock():
        yield add
        for alias in added:
            connections[alias].close()
            del connections[alias]
            del connections.settings[alias]


@pytest.fixture
def away(add_database):
    """The alias of a database server that nobody runs."""
    return add_database(
        "away",
        {"ENGINE": "django.db.backends.postgresql", "NAME": "x", "HOST": "127.0.0.1", "PORT": 1},
    )
