"""Django settings of djq's own tests: SQLite always, PostgreSQL and MariaDB when they answer.

Where the servers are is taken from the environment (DJQ_TEST_POSTGRES_HOST, _PORT, _USER, _PASSWORD,
and the same for MARIADB). A server that does not answer has no alias here: tests/conftest.py skips
its tests visibly, or fails them where CI is set.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import pymysql

pymysql.install_as_MySQLdb()

SECRET_KEY = "only for tests"
USE_TZ = True
TIME_ZONE = "UTC"
INSTALLED_APPS = [
    *("django.contrib.contenttypes", "django.contrib.auth", "django.contrib.messages"),
    *("django.contrib.sessions", "django.contrib.admin", "django.contrib.staticfiles", "djq"),
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "tests.django.urls"
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
Q_CLUSTER: dict[str, Any] = {"name": "tests", "orm": "default"}

# Two runs at the same time, of two Pythons say, must not drop each other's test databases.
RUN = os.environ.setdefault("DJQ_TEST_RUN", str(os.getpid()))
ANSWER_SECONDS_MAX = 2.0


def _server(name: str, engine: str, present: str, port: int, user: str) -> dict[str, Any]:
    prefix = f"DJQ_TEST_{name}_"
    return {
        "ENGINE": engine,
        "NAME": present,  # always there; the tests use one of their own
        "HOST": os.environ.get(prefix + "HOST", "127.0.0.1"),
        "PORT": int(os.environ.get(prefix + "PORT", port)),
        "USER": os.environ.get(prefix + "USER", user),
        "PASSWORD": os.environ.get(prefix + "PASSWORD", ""),
        "TEST": {"NAME": f"test_djq_{RUN}", "DEPENDENCIES": []},
    }


def _answers(server: dict[str, Any]) -> bool:
    try:
        with socket.create_connection((server["HOST"], server["PORT"]), ANSWER_SECONDS_MAX):
            return True
    except OSError:
        return False


SERVERS: dict[str, dict[str, Any]] = {
    "postgres": _server("POSTGRES", "django.db.backends.postgresql", "postgres", 5432, "postgres"),
    "mariadb": _server("MARIADB", "django.db.backends.mysql", "information_schema", 3306, "root"),
}
# Nothing here outlives a crash of the server, and disks may be slow.
SERVERS["postgres"]["OPTIONS"] = {"options": "-c synchronous_commit=off"}
SERVERS["mariadb"]["OPTIONS"] = {"charset": "utf8mb4"}
SERVERS["mariadb"]["TEST"]["CHARSET"] = "utf8mb4"

DATABASES: dict[str, dict[str, Any]] = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    **{alias: server for alias, server in SERVERS.items() if _answers(server)},
}
