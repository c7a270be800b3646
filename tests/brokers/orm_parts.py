"""What the tests of the ORM broker share."""

from __future__ import annotations

from contextlib import contextmanager

from django.db import connections
from django.test.utils import CaptureQueriesContext

from djq.brokers.orm import OrmBroker
from djq.models import OrmQ
from djq_testing.clock import ManualClock


def make_broker(alias, clock=None, **options):
    return OrmBroker(
        "q", **{"alias": alias, "clock": clock or ManualClock(), "retry_seconds": 60.0, **options}
    )


def rows(alias):
    return OrmQ.objects.using(alias)


@contextmanager
def queries(alias):
    """Collect the first words of what is asked of the database meanwhile."""
    asked = []
    with CaptureQueriesContext(connections[alias]) as context:
        yield asked
    asked += [query["sql"].split()[0] for query in context.captured_queries]


def hang_up(alias):
    """End the session of this process at the server, as a restart would."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        postgres = connection.vendor == "postgresql"
        cursor.execute("SELECT pg_backend_pid()" if postgres else "SELECT CONNECTION_ID()")
        (session,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)" if postgres else "KILL %s", [session])
    other.close()
