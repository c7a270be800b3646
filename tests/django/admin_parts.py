"""Parts for the tests of the admin: who looks at it, rows to be seen, and what a page says."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta

from django.contrib.auth.models import Permission, User
from django.db import connection

from djq.core.call import dump_call, dump_value
from djq.models import Task

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SUCCESSES = "/admin/djq/success/"
FAILURES = "/admin/djq/failure/"
SCHEDULES = "/admin/djq/schedule/"
QUEUE = "/admin/djq/ormq/"
CLUSTERS = "/admin/djq/clusters/"


def user_with(client, *verbs):
    """Let the client be a member of the staff who may do these things with all that djq has."""
    user = User.objects.create_user("bob", is_staff=True)
    models = ("success", "failure", "schedule", "ormq")
    names = [f"{verb}_{model}" for verb in verbs for model in models]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    return client


def task(number, *, success=True, args=(), kwargs=None, result=None, **fields):
    """Keep a task, as a cluster does; the higher its number, the newer it is."""
    stopped = NOON + timedelta(seconds=number)
    line = result if success or result is not None else "ValueError: told to"
    made = {
        "id": f"{number:032x}",
        "name": f"task-{number}",
        "func": "math.floor",
        "body": dump_call("math.floor", args, kwargs or {}),
        "value": dump_value(line),
        "started": stopped - timedelta(seconds=2),
        "stopped": stopped,
        "success": success,
    }
    return Task.objects.create(**{**made, **fields})


def page(client, url, **asked):
    """The text of a page, as a browser would hand it on: with its tags, its entities resolved."""
    answer = client.get(url, asked)
    assert answer.status_code == 200, (answer.status_code, answer.get("Location"))
    return html.unescape(answer.content.decode())


def shown(client, url, **asked):
    """The names of the tasks that a list shows, in its order."""
    return re.findall(r">(task-\d+)</a>", page(client, url, **asked))


def act(client, url, action, *chosen, **more):
    """Choose rows and start an action; gives the page that follows, with its messages."""
    posted = {"action": action, "_selected_action": list(chosen), "index": 0, **more}
    answer = client.post(url, posted, follow=True)
    assert answer.status_code == 200
    return answer


def said(answer):
    """The messages of a page."""
    return [str(message) for message in answer.context["messages"]]


def many(count, *, success=True):
    """Keep very many tasks, in one statement of SQLite's; the higher their number, the newer."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO djq_task (id, name, func, body, started, stopped, success, traceback,
                attempts, place, queue, options)
            WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers LIMIT %s)
            SELECT printf('%%032x', n), 'task-' || n, 'math.floor', x'', '2026-01-01 00:00:00',
                datetime('2026-01-01', '+' || n || ' seconds'), %s, '', 1, 0, 'tests', ''
            FROM numbers
            """,
            [count, success],
        )
