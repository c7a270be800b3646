"""`manage.py qcluster`: runs a cluster until it is told to stop (the manual, 1.9)."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from djq.cluster import Cluster
from djq.conf import get_config
from djq.exceptions import ConfigError
from djq.management.program import Program
from djq.runtime.threads import end_process
from djq.signals import log_to_stderr


class Command(Program):
    """Exit code 0 after a clean stop, 1 when work was cut short."""

    help = "Starts a cluster of workers; Ctrl-C or SIGTERM stops it, see the stop procedure."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--run-once",
            action="store_true",
            help="Work off what is queued, then stop.",
        )
        parser.add_argument(
            "--threads",
            action="store_true",
            help="Run as threads of this process: for debuggers, and for systems without fork.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            log_to_stderr(get_config().log_level)
            cluster = Cluster(run_once=options["run_once"], threads=options["threads"])
        except ConfigError as error:
            # A sentence about the settings needs no traceback.
            raise CommandError(str(error)) from error
        code = cluster.run(ends_process=self.is_program)
        if options["threads"] and self.is_program:
            end_process(code)
        if code:
            sys.exit(code)
