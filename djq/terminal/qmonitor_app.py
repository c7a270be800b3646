"""`qmonitor` on a terminal: a Textual app around the rows of `qmonitor_table`.

It asks for nothing itself: `look` gives what is known, at once. All text that others chose comes as
`rich.text.Text`, which takes no markup; a `str` in a table would be read as markup.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import tzinfo
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.theme import Theme
from textual.widgets import DataTable, Footer, Static

from djq.overview import Failed, Overview
from djq.terminal.qmonitor_table import (
    COLUMNS,
    FAILURE_COLUMNS,
    NOBODY,
    WORKER_COLUMNS,
    Cell,
    Expected,
    Row,
    bars,
    clock_time,
    cluster_rows,
    ended,
    error_of,
    facts,
    failure_rows,
    key_of,
    summary,
    troubles,
    worker_rows,
)
from djq.terminal.visible import visible, visible_lines

HOST_WIDTH_LEAST = 8
OTHER_COLUMNS_WIDTH = 62
"""What the other columns of clusters take, with numbers as long as they usually are."""
NUMBERS = frozenset({"Id", "Pool", "TQ", "RQ", "RC", "Up", "Worker", "Attempt", "Attempts", "For"})
UNREAD = "The last failures are not read yet."
TERMINAL = Theme(
    name="terminal",
    primary="ansi_blue",
    secondary="ansi_cyan",
    accent="ansi_magenta",
    warning="ansi_yellow",
    error="ansi_red",
    success="ansi_green",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
)
"""The terminal's own colours on its own ground, light or dark."""
GONE = "This cluster has ended, or is not seen any more."
NO_TRACEBACK = "It had no exception of its own: its worker died, say, or its time had passed."


class Rows(DataTable[Text]):
    """A table that keeps its cursor on the same thing while its rows change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]

    def __init__(self, columns: Sequence[str], *, id: str) -> None:
        # The row under the cursor is turned about, and keeps its colours.
        super().__init__(id=id, cursor_type="row", cursor_foreground_priority="renderable")
        for column in columns:
            self.add_column(
                Text(column, justify="right" if column in NUMBERS else "left"), key=column
            )

    def fill(self, rows: Sequence[Row]) -> None:
        """Show these rows, and no others."""
        keys = [row.key for row in rows]
        if keys != self.keys:
            self._replace(rows)
            return
        for row in rows:
            for column, cell in zip(self.columns, row.cells, strict=True):
                text = _text(cell)
                if self.get_cell(row.key, column) != text:
                    self.update_cell(row.key, column, text, update_width=True)

    @property
    def keys(self) -> list[str]:
        """What the rows are known by, from the top."""
        return [str(row.key.value) for row in self.ordered_rows]

    @property
    def selected(self) -> str | None:
        """What the row under the cursor is known by. None: there is no row."""
        keys = self.keys
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else None

    def _replace(self, rows: Sequence[Row]) -> None:
        selected, place = self.selected, self.cursor_row
        self.clear()
        for row in rows:
            self.add_row(*map(_text, row.cells), key=row.key)
        keys = self.keys
        if keys:
            at = keys.index(selected) if selected in keys else min(place, len(keys) - 1)
            self.move_cursor(row=at, animate=False)


class Chosen(Rows):
    """A table from which something is chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor_up", "Select", key_display="↑↓"),
        Binding("enter", "select_cursor", "Open"),
    ]


class Shown(Screen[None]):
    """A screen that shows an overview."""

    def on_screen_resume(self) -> None:
        """Show what has come while another screen lay above, or as the first one."""
        self.watching.renew()

    def on_resize(self) -> None:
        """There is more room, or less."""
        self.watching.renew()

    @property
    def watching(self) -> MonitorApp:
        """The app, by its own type."""
        app = self.app
        assert isinstance(app, MonitorApp), "these screens belong to one app"
        return app

    def open(self, screen: Shown) -> None:
        """Lay another screen above this one."""
        # Keys that were pressed in haste reach a screen that is no longer on top.
        if self.is_current:
            self.app.push_screen(screen)

    def show(self, overview: Overview) -> None:
        """Show it."""
        raise NotImplementedError

    def say(self, name: str, *lines: str) -> None:
        """Put lines into the widget of this name; without any it takes no room."""
        widget = self.query_one(f"#{name}", Static)
        widget.update(Text("\n".join(lines)))
        widget.display = bool(lines)

    def say_what_is_wrong(self, overview: Overview) -> None:
        """Put up which parts are away."""
        self.say("troubles", *troubles(overview, self.watching.zone))


class Clusters(Shown):
    """All clusters: the first screen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("f", "failures", "Failures")]

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield Chosen(COLUMNS, id="clusters")
        yield Static(id="nobody")
        yield Static(id="bars")
        yield Static(id="ended")
        yield Static(id="summary")
        yield Static(id="troubles")
        yield Footer()

    def show(self, overview: Overview) -> None:
        """Show it."""
        stats = overview.clusters or ()
        width = max(self.app.size.width - OTHER_COLUMNS_WIDTH, HOST_WIDTH_LEAST)
        self.say("title", f"qmonitor   {clock_time(overview.at, self.watching.zone)}")
        self.query_one(Rows).fill(cluster_rows(overview, self.watching.expected, width))
        self.say("nobody", *([NOBODY] if overview.clusters == () else []))
        self.say("bars", bars(stats))
        self.say("ended", ended(stats))
        self.say("summary", summary(overview))
        self.say_what_is_wrong(overview)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Show the cluster under the cursor."""
        self.open(Cluster(str(event.row_key.value)))

    def action_failures(self) -> None:
        """Show the last failures."""
        self.open(Failures())


class WithFailures(Shown):
    """A screen with a table of the last failures."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.pop_screen", "Back")]

    _failures: tuple[Failed, ...] = ()

    def show(self, overview: Overview) -> None:
        """Show the failures."""
        self._failures = overview.failures or ()
        table = self.query_one("#failures", Rows)
        table.fill(failure_rows(overview, self.watching.zone))
        heading = "Last failures of the queue" if self._failures else "No failures are kept."
        self.say("heading", UNREAD if overview.failures is None else heading)
        self.say_what_is_wrong(overview)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Show the traceback of a failure."""
        for failed in self._failures:
            if event.data_table.id == "failures" and failed.id == event.row_key.value:
                self.open(Traceback(failed))


class Cluster(WithFailures):
    """One cluster: its workers, what they run, and the last failures."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "app.focus_next", "Next table")]

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def compose(self) -> ComposeResult:
        yield Static(id="facts")
        yield Static(id="bars")
        yield Rows(WORKER_COLUMNS, id="workers")
        yield Static(id="heading")
        yield Chosen(FAILURE_COLUMNS, id="failures")
        yield Static(id="gone")
        yield Static(id="troubles")
        yield Footer()

    def show(self, overview: Overview) -> None:
        """Show it; what was seen last, when the cluster has gone."""
        super().show(overview)
        stat = next((each for each in overview.clusters or () if key_of(each) == self._key), None)
        if stat is not None:
            self.say("facts", *facts(stat))
            self.say("bars", bars([stat]))
            self.query_one("#workers", Rows).fill(worker_rows(stat))
        is_gone = stat is None and overview.clusters is not None
        self.say("gone", *([GONE] if is_gone else []))


class Failures(WithFailures):
    """The last failures alone."""

    def compose(self) -> ComposeResult:
        yield Static(id="heading")
        yield Chosen(FAILURE_COLUMNS, id="failures")
        yield Static(id="troubles")
        yield Footer()


class Traceback(Shown):
    """One failure, with its traceback."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.pop_screen", "Back")]

    def __init__(self, failed: Failed) -> None:
        super().__init__()
        self._failed = failed

    def compose(self) -> ComposeResult:
        failed = self._failed
        told = visible_lines(failed.traceback.rstrip()) or NO_TRACEBACK
        yield Static(Text(f"{visible(failed.name)}  {visible(failed.func)}"))
        yield Static(Text(f"id {failed.id}  attempts {failed.attempts}"))
        yield Static(Text(error_of(failed)), id="error")
        with VerticalScroll():
            yield Static(Text(told), id="traceback")
        yield Footer()

    def show(self, overview: Overview) -> None:
        """Nothing changes: it has ended."""


class MonitorApp(App[None]):
    """The screens, the keys, and the pace."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "qmonitor"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,Q", "quit", "Quit", key_display="q"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]
    CSS = """
    Static { height: auto; padding: 0 1; }
    Rows { height: 1fr; min-height: 3; }
    Rows > .datatable--header { background: ansi_default; text-style: bold underline; }
    Rows > .datatable--cursor { background: ansi_default; color: ansi_default; }
    Rows:focus > .datatable--cursor { text-style: reverse; }
    VerticalScroll { height: 1fr; }
    #title, #facts, #heading { text-style: bold; }
    #bars { color: ansi_green; }
    #troubles, #gone, #error { color: ansi_red; }
    """

    def __init__(
        self, *, look: Callable[[], Overview], expected: Expected, zone: tzinfo, seconds: float
    ) -> None:
        """Make it; nothing is looked at yet.

        Args:
            look: Gives what is known, at once.
            expected: What stands out in the table.
            zone: Moments are shown in it.
            seconds: Between two looks.
        """
        super().__init__(ansi_color=True)
        self.register_theme(TERMINAL)
        self.theme = TERMINAL.name
        self.animation_level = "none"  # what moves smoothly is sent many times
        self.expected = expected
        self.zone = zone
        self._look = look
        self._seconds = seconds

    def get_default_screen(self) -> Clusters:
        """The first screen."""
        return Clusters()

    def on_mount(self) -> None:
        """Begin."""
        self.set_interval(self._seconds, self.renew)

    def renew(self) -> None:
        """Look, and show it."""
        if not self.is_running:
            return  # on its way out it takes its screens apart
        screen = self.screen
        # One that was pushed a moment ago has no widgets yet.
        if isinstance(screen, Shown) and screen.is_mounted:
            screen.show(self._look())


def run(app: MonitorApp) -> None:
    """Show the app until it is quit; the signals that end a process leave the terminal as it was."""

    async def shown() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            # Not in another thread than the main one, nor on Windows.
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, app.exit)
        # Without the mouse the terminal's own way to copy text goes on working.
        await app.run_async(mouse=False)

    asyncio.run(shown())


def _text(cell: Cell) -> Text:
    return Text(cell.text, style=cell.colour, justify="right" if cell.is_number else "left")
