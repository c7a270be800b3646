"""`manage.py qmetrics`: serves the metrics of the queue to Prometheus, where no web server is to do it."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from djq import assembly
from djq.exceptions import ConfigError
from djq.management.program import Program
from djq.runtime import scope
from djq.runtime.interrupts import Interrupts
from djq.runtime.poller import Poller
from djq.runtime.serving import PageServer
from djq.runtime.threads import end_process

PORT = 9845
PORT_MAX = 65_535


class Command(Program):
    """Exit code 0 when a signal has ended it."""

    help = (
        "Serves metrics for Prometheus at /metrics until Ctrl-C or SIGTERM. It asks nobody who he is: "
        "beyond this machine let nobody reach it but Prometheus."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Where to listen."""
        parser.add_argument(
            "--host",
            default="127.0.0.1",
            help="address to listen on (127.0.0.1: this machine alone); 0.0.0.0 or :: for all",
        )
        parser.add_argument(
            "--port", type=port_of, default=PORT, help=f"port ({PORT}); 0 for any that is free"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Serve until a signal comes."""
        host, port = options["host"], options["port"]
        try:
            # Here, since the library is an extra; and now, since the settings are to be right before that.
            metrics = importlib.import_module("djq.metrics")
            assembly.broker_of_this_thread()
            server = PageServer(
                host=host, port=port, path="/metrics", page=page_of(metrics.exposition)
            )
        except (ConfigError, ModuleNotFoundError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(
                f"cannot listen on {host}, port {port}: {error.strerror or error}; "
                "choose others with --host and --port (0: any port that is free)"
            ) from error
        # The poller, since a signal that comes just before a wait on a lock would not end it.
        poller = Poller()
        interrupts = Interrupts(poller)
        interrupts.install()
        try:
            server.start()
            self.stdout.write(f"Metrics are at {server.url}; Ctrl-C ends this.")
            self.stdout.flush()
            while not interrupts.count():
                poller.wait(None)
        finally:
            if self.is_program:
                interrupts.ignore()
            else:
                interrupts.restore()
                poller.close()
                server.close()
        if self.is_program:
            # Not after whoever is being answered: a service may hang.
            end_process(0)


def port_of(text: str) -> int:
    """The number of a port.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not (text.isascii() and text.isdecimal() and int(text) <= PORT_MAX):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no port; it must be a whole number from 0 to {PORT_MAX}"
        )
    return int(text)


def page_of(exposition: Callable[[str], tuple[bytes, str]]) -> Callable[[str], tuple[bytes, str]]:
    """The page, for a thread that ends with its request: it leaves no connection behind."""

    def page(accept: str) -> tuple[bytes, str]:
        try:
            return exposition(accept)
        finally:
            assembly.broker_of_this_thread().close()
            scope.close_own()

    return page
