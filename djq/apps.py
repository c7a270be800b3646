"""What Django is told of djq: its name, its label in the admin, its system checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register


class DjqConfig(AppConfig):
    name = "djq"
    label = "djq"
    verbose_name = "Django Q"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Not at import: settings may still be loading then.
        from djq import checks, conf

        for check in checks.CHECKS:
            register(check, checks.TAG)
        # Settings with errors must not end the start: the checks are there to list them.
        config = conf.find_config()
        if config is not None:
            self.verbose_name = config.label
