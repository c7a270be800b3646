"""What `manage.py qcluster` says before there is a cluster."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command


@pytest.mark.parametrize(
    ("q_cluster", "words"),
    [
        ({"redis": {"hots": "x"}}, "option that is wrong.*'hots'"),
        ({"orm": "default", "workers": 0}, "'workers'"),
    ],
)
def test_settings_that_are_wrong_are_a_sentence(settings, q_cluster, words):
    settings.Q_CLUSTER = q_cluster

    with pytest.raises(CommandError, match=words):
        call_command("qcluster")
