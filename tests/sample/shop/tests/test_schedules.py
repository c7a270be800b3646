"""What runs by itself."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.core.management import call_command

from djq.models import Schedule

pytestmark = pytest.mark.django_db


@pytest.mark.djq_clock(start="2026-03-27T12:00Z")
def test_the_newsletter_begins_on_friday(djq_clock, capsys):
    call_command("plan_newsletter", "Lamps!")

    made = Schedule.objects.get(name="newsletter")
    assert made.next_run == datetime(2026, 4, 3, 6, 0, tzinfo=UTC)
    assert capsys.readouterr().out == "First on 2026-04-03 06:00\n"
