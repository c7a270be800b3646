"""A browser for each module, and a project with the admin for each test."""

from __future__ import annotations

import pytest

from tests.browser.chromium import SECONDS_MAX, chromium
from tests.browser.pages import make_tables, open_site


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def tables(tmp_path_factory, django_db_blocker):
    path = tmp_path_factory.mktemp("tables") / "db.sqlite3"
    with django_db_blocker.unblock():
        make_tables(path)
    return path


@pytest.fixture
def site(tables, tmp_path, django_db_blocker, browser):
    with django_db_blocker.unblock(), open_site(tables, tmp_path) as site:
        yield site


@pytest.fixture
def problems():
    """What browsers have complained of: errors of scripts, and what a page's policy forbids."""
    return []


@pytest.fixture
def open_page(browser, site, problems):
    """A function that opens a page of the admin as somebody, in a browser of its own.

    With `clock` the timers of its scripts go by `page.clock`, which goes on by itself too.
    """
    contexts = []

    def complain(said):
        if said.type == "error" and not said.location["url"].endswith("/favicon.ico"):
            problems.append(said.text)

    def open_as(user, path, *, clock=False, **options):
        context = browser.new_context(**{"viewport": {"width": 1000, "height": 900}, **options})
        contexts.append(context)
        if user is not None:
            context.add_cookies([site.cookie(user)])
        context.set_default_timeout(SECONDS_MAX * 1_000)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", complain)
        if clock:
            page.clock.install()
        page.goto(site(path))
        return page

    yield open_as
    for context in contexts:
        context.close()


@pytest.fixture
def ann(site):
    """She may do everything."""
    return site.user("ann", is_superuser=True)
