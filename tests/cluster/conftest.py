"""Projects with real clusters; every test sees to it that no process is left behind."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.cluster.harness import open_project


@pytest.fixture
def make_project(tmp_path, django_db_blocker):
    """Make the test's project: `make_project("sqlite", workers=2)`; the rest goes to Q_CLUSTER."""
    with ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())

        def make(kind="sqlite", caches=None, port=None, **q_cluster):
            return stack.enter_context(open_project(tmp_path, kind, q_cluster, caches, port))

        yield make
