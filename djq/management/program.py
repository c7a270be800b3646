"""What the commands that may be a program of their own have in common."""

from __future__ import annotations

from django.core.management.base import BaseCommand


class Program(BaseCommand):
    """Knows whether it is the program, or is called by one."""

    is_program = False
    """False: somebody's program calls the command, and goes on after it with what is its own: its signal
    handlers, its connections, its threads."""

    def run_from_argv(self, argv: list[str]) -> None:
        self.is_program = True
        super().run_from_argv(argv)
