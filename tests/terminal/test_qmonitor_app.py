"""The screens of `qmonitor`, driven by Textual's own harness."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta

import attrs
import pytest
from textual.events import Key
from textual.widgets import DataTable

from djq.monitor import Count
from djq.overview import Overview
from djq.terminal.qmonitor_app import GONE, NO_TRACEBACK, MonitorApp
from tests.terminal.samples import (
    EXPECTED,
    FAILED,
    FULL,
    HOSTILE_OVERVIEW,
    LONG,
    NOTHING_YET,
    ORION,
    PHOENIX,
    SHOWN,
)

SIZE = (80, 24)
LATE = 3_600


class Seen:
    """What is there to see; a test changes it."""

    def __init__(self, overview):
        self.overview = overview

    def look(self):
        return self.overview


class Hand:
    """A person before the screen."""

    def __init__(self, app, pilot, seen):
        self.app = app
        self._pilot = pilot
        self._seen = seen

    async def press(self, *keys):
        await self._pilot.press(*keys)

    async def press_in_haste(self, *keys):
        """Press keys before the first one has had any effect."""
        for key in keys:
            self.app._driver.send_message(Key(key, None))
        await self._pilot.press("x")

    async def wait_for(self, overview):
        """See what is there at the next look."""
        self._seen.overview = overview
        self.app.renew()
        await self._pilot.pause()

    async def resize(self, columns, lines):
        await self._pilot.resize_terminal(columns, lines)
        await self._pilot.pause()

    @property
    def lines(self):
        """The screen as a terminal shows it."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    @property
    def text(self):
        return "\n".join(self.lines)

    def line_with(self, words):
        (found,) = [line for line in self.lines if words in line]
        return found

    def colour_of(self, words):
        """The colour that words have, and whether they are turned about."""
        for strip in self.app.screen._compositor.render_strips():
            for segment in strip:
                if segment.text.strip() == words:
                    colour = segment.style.color
                    return colour and colour.name, bool(segment.style.reverse)
        raise AssertionError(f"{words!r} is not on the screen:\n{self.text}")


def on_screen(overview=FULL, *, size=SIZE, seconds=LATE):
    """Run a test before the screen, which shows this overview."""

    def decorate(test):
        async def run():
            seen = Seen(overview)
            app = MonitorApp(look=seen.look, expected=EXPECTED, zone=UTC, seconds=seconds)
            async with app.run_test(size=size) as pilot:
                await pilot.pause()
                await test(Hand(app, pilot, seen))

        # pytest is not to take the test's argument for a fixture's name.
        def wrapped():
            asyncio.run(run())

        wrapped.__name__ = test.__name__
        wrapped.__doc__ = test.__doc__
        wrapped.__module__ = test.__module__
        return wrapped

    return decorate


@on_screen()
async def test_the_first_screen_has_all_clusters_and_the_queue(hand):
    assert [line.strip() for line in hand.lines[:4]] == [
        "qmonitor   12:00:00 UTC",
        "Host        Id  State     Pool  TQ  RQ  RC        Up",
        "Orion    17004  Working      4  23   0   0   0:01:15",
        "Phoenix  14710  Stopping     3   0  14   2  26:10:18",
    ]
    assert "▂▁█  peak 16/min" in hand.lines[-4]
    assert (
        hand.lines[-3] == " Ended: minute 11 (1 failed), hour 80 (10 failed), day 800 (100 failed)"
    )
    assert hand.lines[-2] == " shop at Redis 7.4   Queued 12 (3 locked)   Success 1000   Failures 2"
    assert hand.lines[-1].split() == ["↑↓", "Select", "⏎", "Open", "f", "Failures", "q", "Quit"]


@on_screen()
async def test_states_and_full_queues_have_their_colours_under_the_cursor_too(hand):
    assert hand.colour_of("Working") == ("green", True)
    assert hand.colour_of("23") == ("green", True)
    assert hand.colour_of("Stopping") == ("yellow", False)
    assert hand.colour_of("14") == ("cyan", False)


@on_screen(NOTHING_YET)
async def test_before_the_first_answer_nothing_is_claimed(hand):
    assert "Queued ?" in hand.text
    assert "No cluster" not in hand.text

    await hand.wait_for(attrs.evolve(FULL, clusters=()))

    assert "No cluster is seen." in hand.text
    assert "Queued 12" in hand.text


@on_screen()
async def test_enter_shows_the_workers_and_tasks_of_the_cluster_under_the_cursor(hand):
    await hand.press("enter")

    assert hand.lines[0] == " Orion 17004  Working  up 0:01:15"
    assert hand.line_with("17006").split() == [
        *("17006", "long-report", "shop.tasks.report", "2", "0:05:00")
    ]
    assert hand.line_with("17009").split() == ["17009", "-", "-"]
    assert "ValueError: no card" in hand.line_with("pay-42")
    assert "peak 8/min" in hand.text
    assert "Phoenix" not in hand.text

    await hand.press("escape", "down", "enter")

    assert hand.lines[0] == " Phoenix 14710  Stopping  up 26:10:18"


@on_screen()
async def test_the_traceback_of_a_failure_is_opened_and_left_again(hand):
    await hand.press("enter", "tab", "enter")

    assert [line.strip() for line in hand.lines[:6]] == [
        "pay-42  shop.tasks.pay",
        f"id {FAILED.id}  attempts 3",
        "ValueError: no card",
        "Traceback (most recent call last):",
        'File "pay.py", line 7',
        "ValueError: no card",
    ]

    await hand.press("escape")
    assert "Last failures of the queue" in hand.text

    await hand.press("escape")
    assert "Phoenix" in hand.text


@on_screen(attrs.evolve(FULL, clusters=(), failures=(attrs.evolve(FAILED, traceback=""),)))
async def test_failures_are_seen_without_any_cluster(hand):
    await hand.press("f")
    assert "pay-42" in hand.text

    await hand.press("enter")
    assert NO_TRACEBACK[:60] in hand.text


@on_screen(
    attrs.evolve(FULL, failures=(attrs.evolve(FAILED, traceback="line\n" * 60 + "the end"),))
)
async def test_a_long_traceback_is_scrolled_by_keys(hand):
    await hand.press("f", "enter")
    assert "the end" not in "\n".join(hand.lines[3:])

    await hand.press("end")

    assert "the end" in "\n".join(hand.lines[3:])


@on_screen(attrs.evolve(FULL, failures=None))
async def test_failures_that_were_not_read_are_not_said_to_be_none(hand):
    await hand.press("f")
    assert "not read yet" in hand.text

    await hand.wait_for(attrs.evolve(FULL, failures=()))
    assert "No failures are kept." in hand.text


@on_screen()
async def test_what_is_away_is_said_and_goes_when_it_is_back(hand):
    away = attrs.evolve(
        FULL,
        queue=None,
        clusters=(attrs.evolve(ORION, store_away_since=FULL.at), PHOENIX),
        errors={"queue": "BrokerUnavailable: no route to the queue"},
    )
    await hand.wait_for(away)

    assert "queue: BrokerUnavailable: no route to the queue" in hand.text
    assert "Orion 17004: its store has not answered since 12:00:00 UTC" in hand.text
    assert "Queued ?" in hand.text

    await hand.press("enter")
    assert "queue: BrokerUnavailable: no route to the queue" in hand.text

    await hand.press("escape")
    await hand.wait_for(FULL)
    assert "BrokerUnavailable" not in hand.text
    assert "Queued 12" in hand.text


@on_screen()
async def test_the_cursor_stays_on_its_cluster_while_others_come_and_go(hand):
    await hand.press("down")
    atlas = attrs.evolve(ORION, host="Atlas", cluster_id=1)

    await hand.wait_for(attrs.evolve(FULL, clusters=(atlas, ORION, PHOENIX)))
    await hand.press("enter")
    assert "Phoenix 14710" in hand.lines[0]

    await hand.press("escape")
    await hand.wait_for(attrs.evolve(FULL, clusters=(atlas, ORION)))
    await hand.press("enter")
    assert "Orion 17004" in hand.lines[0]


@on_screen()
async def test_new_numbers_take_the_place_of_old_ones_and_the_row_stays(hand):
    await hand.press("down")
    busier = attrs.evolve(PHOENIX, task_q_size=1_234, status="Working")

    await hand.wait_for(attrs.evolve(FULL, clusters=(ORION, busier)))

    assert hand.line_with("Phoenix").split()[2:5] == ["Working", "3", "1234"]
    assert hand.colour_of("1234") == ("green", True)


@on_screen()
async def test_a_cluster_that_ends_while_it_is_shown_is_said_to_be_gone(hand):
    await hand.press("enter")
    await hand.wait_for(attrs.evolve(FULL, clusters=(PHOENIX,)))

    assert GONE in hand.text
    assert "Orion 17004" in hand.lines[0]

    # Not to know is another thing.
    await hand.wait_for(attrs.evolve(FULL, clusters=None, errors={"clusters": "gone"}))
    assert GONE not in hand.text
    assert "clusters: gone" in hand.text

    await hand.wait_for(FULL)
    assert "gone" not in hand.text


@on_screen()
async def test_tasks_that_end_leave_their_rows(hand):
    await hand.press("enter")
    done = attrs.evolve(
        ORION, running=(attrs.evolve(LONG, id="c" * 32, name="next", worker=17007),)
    )

    await hand.wait_for(attrs.evolve(FULL, clusters=(done,)))

    assert "long-report" not in hand.text
    assert "next" in hand.line_with("17007")
    assert hand.line_with("17006").split() == ["17006", "-", "-"]


@on_screen(HOSTILE_OVERVIEW)
async def test_markup_and_escape_sequences_are_shown_as_text_on_every_screen(hand):
    shown = []
    for keys in ([], ["enter"], ["tab", "enter"]):
        await hand.press(*keys)
        shown.append(hand.text)

    assert f"shop at {SHOWN}" in shown[0]
    assert f"results: {SHOWN}" in shown[0]
    assert shown[1].count(SHOWN) >= 4
    assert f"{SHOWN}  {SHOWN}" in shown[2]
    assert all(line.isprintable() for text in shown for line in text.splitlines())


@pytest.mark.parametrize("keys", [["q"], ["Q"], ["ctrl+c"], ["f", "enter", "q"]], ids="-".join)
def test_every_screen_is_left_by_the_keys_that_quit(keys):
    @on_screen()
    async def quit_by_keys(hand):
        await hand.press(*keys[:-1])
        assert hand.app.is_running

        await hand.press(keys[-1])
        assert not hand.app.is_running

    quit_by_keys()


@on_screen()
async def test_keys_pressed_in_haste_open_and_leave_one_screen(hand):
    await hand.press_in_haste("enter", "enter", "enter")
    assert hand.lines[0] == " Orion 17004  Working  up 0:01:15"

    await hand.press_in_haste("escape", "escape")
    assert "Phoenix" in hand.text

    await hand.press_in_haste("escape")
    assert "Phoenix" in hand.text


@on_screen()
async def test_other_keys_do_nothing(hand):
    before = hand.text

    await hand.press("escape", "tab", "left", "right", "x", "ctrl+p")

    assert hand.text == before


@on_screen(
    attrs.evolve(
        FULL,
        clusters=tuple(
            attrs.evolve(
                ORION,
                host=f"shop-worker-deployment-7f9c5d8b6-{number:05}.prod.example.org",
                cluster_id=4_190_000 + number,
                task_q_size=99_999,
                tob=ORION.now - timedelta(days=40),
                minutes=(Count(123_456, 0),) * 60,
            )
            for number in range(50)
        ),
    )
)
async def test_eighty_columns_and_twenty_four_lines_are_enough(hand):
    table = hand.app.screen.query_one(DataTable)

    assert len(hand.lines) == 24
    assert not table.show_horizontal_scrollbar
    assert all(" 99999 " in line and " 960:00:00" in line for line in hand.lines[2:18])
    assert hand.lines[2].split()[0] == "shop-wor…ample.org"
    assert "peak 6172800/min" in hand.text
    assert "Quit" in hand.lines[-1]

    await hand.press("end")
    assert "4190049" in hand.text


@on_screen(attrs.evolve(FULL, clusters=(attrs.evolve(ORION, host="h" * 40),)), size=(120, 30))
async def test_hosts_are_whole_where_there_is_room(hand):
    assert "h" * 40 in hand.text

    await hand.resize(80, 24)

    assert "h" * 40 not in hand.text
    assert "…" in hand.text


def test_the_screen_is_looked_at_again_by_itself():
    """The pace is a real one here: nothing but the app's own timer looks a second time."""
    looks = asyncio.Queue()

    def look():
        looks.put_nowait(None)
        return Overview(at=FULL.at)

    async def run():
        app = MonitorApp(look=look, expected=EXPECTED, zone=UTC, seconds=0.01)
        async with app.run_test(size=SIZE):
            for _ in range(10):
                await asyncio.wait_for(looks.get(), 10)

    asyncio.run(run())
