"""The admin as somebody sees it in a browser: the page of the clusters, and what is done on the others."""

from __future__ import annotations

import re
import time

import pytest

from djq.brokers import get_broker
from djq.models import Schedule, Task
from djq.tasks import async_task
from djq.wiring import wired
from djq_testing.clock import ManualClock
from tests.browser import states
from tests.browser.chromium import SECONDS_MAX, expect
from tests.cluster import tasks

CLUSTERS = "djq/clusters/"
RENEWAL = re.compile(r"/djq/clusters/now/$")
RENEWED_MILLISECONDS = 2_000


@pytest.fixture
def afternoon(site):
    """A moment that stays, with two clusters; gives their board."""
    board = states.Board(*states.clusters())
    with wired(clock=ManualClock(states.NOW), board=board):
        states.fill()
        yield board


def figure(page, name):
    return page.locator(f"#djq-{name} .djq-figure")


def log_in(page, name):
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(name)
    page.get_by_role("button", name="Log in").click()


def renew(page):
    """Let the time of a renewal come, and its answer."""
    with page.expect_response(RENEWAL):
        page.clock.fast_forward(RENEWED_MILLISECONDS)


def renew_until(page, holds):
    """Renew again and again, faster than the page does by itself."""
    end = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < end, page.locator("#djq-now").inner_text()
        renew(page)


def test_a_task_goes_from_queued_to_done_without_reloading(site, ann, open_page, problems):
    async_task(tasks.wait_for_file, site.project.file("go"), task_name="long-one")
    page = open_page(None, "", clock=True)
    log_in(page, "ann")
    page.locator("#content").get_by_role("link", name="Clusters").click()
    page.evaluate("window.isTheSame = true")
    expect(figure(page, "waiting")).to_have_text("1")
    expect(page.get_by_text("No cluster is known")).to_be_visible()

    site.project.start()
    row = page.locator("#djq-workers tr", has_text="long-one")
    renew_until(page, row.is_visible)
    expect(row).to_contain_text("tests.cluster.tasks.wait_for_file")
    expect(figure(page, "waiting")).to_have_text("0")
    expect(page.get_by_text("No cluster is known")).to_be_hidden()
    (site.project.folder / "go").touch()

    # By itself, this time.
    expect(figure(page, "minute")).to_have_text("1")
    expect(row).to_have_count(0)
    assert page.evaluate("window.isTheSame")
    assert problems == []


def test_a_renewal_leaves_the_focus_a_selection_and_what_is_unfolded(afternoon, ann, open_page):
    page = open_page(ann, CLUSTERS, clock=True)
    page.get_by_text("As a table").click()
    page.get_by_role("link", name="resize-8127").focus()
    page.evaluate(
        "getSelection().selectAllChildren(document.querySelector('#djq-schedules tbody th'))"
    )

    states.fail(9, name="newest-one", line="ValueError: no")
    get_broker().enqueue("package")
    afternoon.texts.pop()
    renew(page)

    expect(page.locator("#djq-failures tbody tr").first).to_contain_text("newest-one")
    expect(page.locator("#djq-failures tbody tr").nth(1)).to_contain_text("confirm-10482")
    expect(figure(page, "waiting")).to_have_text("18")
    expect(page.locator("#djq-clusters tbody tr")).to_have_count(1)
    expect(page.get_by_role("link", name="resize-8127")).to_be_focused()
    expect(page.locator("#djq-chart-table table")).to_be_visible()
    assert page.evaluate("getSelection().toString()") == "Import of exchange rates"


def test_who_is_logged_out_is_told_and_nothing_is_asked_any_more(site, afternoon, ann, open_page):
    page = open_page(ann, CLUSTERS, clock=True)
    page.context.clear_cookies()
    renew(page)
    expect(page.get_by_text("You are logged out")).to_be_visible()
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    page.clock.fast_forward(60_000)

    assert page.evaluate("document.hidden") is False
    assert asked == []
    page.get_by_role("link", name="Log in").click()
    log_in(page, "ann")
    expect(page).to_have_url(site(CLUSTERS))


def test_a_page_that_is_hidden_or_paused_asks_for_nothing(afternoon, ann, open_page):
    page = open_page(ann, CLUSTERS, clock=True)
    renew(page)
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { get: () => window.isHidden, configurable: true });
            window.isHidden = true;
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    page.clock.fast_forward(60_000)
    page.evaluate("window.isHidden = false")
    page.get_by_role("button", name="Pause").click()
    page.clock.fast_forward(60_000)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.clock.fast_forward(60_000)

    assert page.evaluate("document.hidden") is False
    assert asked == []
    with page.expect_response(RENEWAL):
        page.get_by_role("button", name="Go on").click()
        page.clock.fast_forward(1)


def test_a_server_that_does_not_answer_is_said_until_it_does(afternoon, ann, open_page):
    page = open_page(ann, CLUSTERS, clock=True)
    words = page.get_by_text("The server does not answer.")
    expect(words).to_be_hidden()
    answers = iter(["abort", "error", "nonsense"])

    def answer(route):
        match next(answers):
            case "abort":
                route.abort()
            case "error":
                route.fulfill(status=502, body="<div id='djq-now'>bad gateway</div>")
            case _:
                route.fulfill(body="<p>another page</p>")

    page.route(RENEWAL, answer, times=3)
    for seconds in (2, 4, 8):
        expect(figure(page, "waiting")).to_have_text("17")
        with page.expect_request(RENEWAL):
            page.clock.fast_forward(seconds * 1_000)
        expect(words).to_be_visible()
    get_broker().enqueue("package")
    with page.expect_response(RENEWAL):
        page.clock.fast_forward(16_000)

    expect(words).to_be_hidden()
    expect(figure(page, "waiting")).to_have_text("18")


def test_without_scripts_it_is_a_page_of_tables(afternoon, ann, open_page):
    page = open_page(ann, CLUSTERS, java_script_enabled=False)

    expect(page.locator("#djq-clusters tbody tr")).to_have_count(2)
    expect(page.locator("#djq-workers tbody tr")).to_have_count(6)
    expect(page.locator("#djq-pause")).to_be_hidden()
    get_broker().enqueue("package")
    page.get_by_role("link", name="load it again").click()
    expect(figure(page, "waiting")).to_have_text("18")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read_in_the_dark(afternoon, ann, open_page, problems, scheme):
    page = open_page(ann, CLUSTERS, viewport={"width": 400, "height": 800}, color_scheme=scheme)

    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.evaluate(WORST_CONTRAST) >= 4.5
    assert problems == []


WORST_CONTRAST = """() => {
    const parts = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => {
        const [r, g, b] = parts(color).map((c) => {
            const part = c / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const background = (element) => {
        const color = getComputedStyle(element).backgroundColor;
        const clear = parts(color)[3] === 0;
        return clear && element.parentElement ? background(element.parentElement) : color;
    };
    const texts = [...document.querySelectorAll("#djq-now *")].filter((element) =>
        !element.closest("svg") && element.checkVisibility() &&
        [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
    return Math.min(...texts.map((element) => {
        const pair = [light(getComputedStyle(element).color), light(background(element))];
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    }));
}"""


def test_a_failure_is_resubmitted_and_succeeds(site, ann, open_page):
    site.project.start()
    async_task("os.path.getsize", site.project.file("wanted"), task_name="broken-one")
    page = open_page(ann, CLUSTERS, clock=True)
    link = page.get_by_role("link", name="broken-one")
    renew_until(page, link.is_visible)
    link.click()
    expect(page.locator(".djq-traceback")).to_contain_text("FileNotFoundError")
    (site.project.folder / "wanted").touch()

    page.get_by_role("link", name="Failed tasks", exact=True).first.click()
    page.get_by_role("checkbox", name="broken-one").check()
    page.get_by_label("Action:").select_option(label="Resubmit the selected tasks to the queue")
    page.get_by_role("button", name="Run").or_(page.get_by_role("button", name="Go")).click()
    expect(page.get_by_text("1 task was resubmitted.")).to_be_visible()
    page.goto(site(CLUSTERS))

    renew_until(page, lambda: figure(page, "minute").inner_text() == "1")
    expect(page.get_by_text("No failed task is kept.")).to_be_visible()
    page.goto(site("djq/success/"))
    expect(page.get_by_role("link", name="broken-one")).to_be_visible()


def test_the_preview_of_a_schedule_changes_with_its_form_and_saves_nothing(
    afternoon, site, ann, open_page
):
    made = Schedule.objects.get(name="Monthly report")
    page = open_page(ann, f"djq/schedule/{made.pk}/change/")
    runs = page.locator(".field-upcoming_runs li")
    expect(runs.nth(1)).to_contain_text("Fri 2027-01-01 06:00:00")

    page.get_by_label("Cron").fill("45 7 * * *")
    page.get_by_role("button", name="Preview the next runs").click()

    expect(runs.nth(1)).to_contain_text("07:45:00")
    made.refresh_from_db()
    assert made.cron == "0 6 1 * *"
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    made.refresh_from_db()
    assert made.cron == "45 7 * * *"


def test_who_may_only_look_sees_all_and_is_refused_the_rest(afternoon, site, open_page):
    models = ("clusters", "success", "failure", "schedule", "ormq")
    bob = site.user("bob", *[f"view_{model}" for model in models])
    failure = Task.objects.filter(success=False).first()
    schedule = Schedule.objects.get(name="Monthly report")

    page = open_page(bob, CLUSTERS)
    expect(page.get_by_role("link", name=failure.name)).to_be_visible()
    page.get_by_role("link", name="Monthly report").click()
    expect(page.get_by_role("heading", name="View scheduled task")).to_be_visible()
    expect(page.locator("input[type=submit], textarea")).to_have_count(0)
    page.goto(site("djq/failure/"))
    expect(page.get_by_role("link", name=failure.name)).to_be_visible()
    expect(page.get_by_label("Action:")).to_have_count(0)
    token = page.locator("[name=csrfmiddlewaretoken]").first.input_value()
    posted = {"csrfmiddlewaretoken": token, "name": "changed"}
    refused = page.request.post(site(f"djq/schedule/{schedule.pk}/change/"), form=posted)

    assert refused.status == 403
    assert Schedule.objects.filter(name="changed").count() == 0


def test_who_may_see_nothing_is_refused(site, open_page):
    page = open_page(site.user("eve"), CLUSTERS)

    expect(page.get_by_role("heading", name="403 Forbidden")).to_be_visible()
