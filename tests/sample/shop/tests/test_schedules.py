"""What runs by itself, on a clock that the test moves."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command

from djq.models import Schedule
from shop.models import Account

pytestmark = pytest.mark.django_db

BERLIN = ZoneInfo("Europe/Berlin")


def starts_of(cluster, name, form):
    """When a task of that name began, by the clocks of Berlin."""
    own = [run for run in cluster.runs if run.func == f"shop.tasks.{name}"]
    return [f"{run.started.astimezone(BERLIN):{form}}" for run in own]


@pytest.mark.djq_clock(start="2026-03-27T12:00Z")
def test_the_newsletter_begins_on_the_next_friday(djq_clock, capsys):
    call_command("plan_newsletter", "Lamps!")

    made = Schedule.objects.get(name="newsletter")
    assert made.next_run == datetime(2026, 4, 3, 6, 0, tzinfo=UTC)
    assert capsys.readouterr().out == "First on 2026-04-03 06:00\n"


@pytest.mark.djq_clock(start="2026-03-20T12:00Z")
def test_the_newsletter_goes_out_each_friday_at_eight(djq_cluster, mailoutbox):
    Account.objects.create(email="ada@example.com")
    Account.objects.create(email="bob@example.com")
    call_command("plan_newsletter", "Lamps!")

    djq_cluster.advance(days=21)

    assert [mail.subject for mail in mailoutbox] == ["Lamps!"] * 6
    days = starts_of(djq_cluster, "send_newsletter", "%d %b %H:%M")
    assert days == ["27 Mar 08:00", "03 Apr 08:00", "10 Apr 08:00"]


@pytest.mark.djq_clock(start="2026-03-27T12:00Z")
def test_the_stock_is_watched_at_three_each_night(djq_cluster, lamp, mailoutbox):
    djq_cluster.run_until_idle()
    assert len(djq_cluster.runs) == 1  # what was missed since January is made up for by one run

    djq_cluster.advance(days=2)
    lamp.stock = 2
    lamp.save()
    djq_cluster.advance(days=2)

    nights = starts_of(djq_cluster, "watch_stock", "%d %H:%M")[1:]
    assert nights == ["28 03:00", "29 03:00", "30 03:00", "31 03:00"]
    assert [mail.body for mail in mailoutbox] == ["L-1", "L-1"]


@pytest.mark.djq_clock(start="2026-03-27T12:00Z")
def test_a_schedule_that_is_switched_off_runs_no_more(djq_cluster):
    djq_cluster.advance(days=3)
    before = len(djq_cluster.runs)
    Schedule.objects.update(enabled=False)

    djq_cluster.advance(days=30)

    assert len(djq_cluster.runs) == before > 1
