"""Makes the schedule of the newsletter."""

from __future__ import annotations

from django.core.management import BaseCommand

from djq.models import Schedule
from djq.tasks import schedule


class Command(BaseCommand):
    help = "Send the newsletter each Friday at 8 o'clock"

    def add_arguments(self, parser):
        parser.add_argument("subject")

    def handle(self, *args, subject, **options):
        Schedule.objects.filter(name="newsletter").delete()
        made = schedule(
            "shop.tasks.send_newsletter", subject, name="newsletter", cron="0 8 * * FRI"
        )
        self.stdout.write(f"First on {made.next_run:%Y-%m-%d %H:%M}")
