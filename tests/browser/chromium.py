"""Debian's Chromium, or another, driven by Playwright; nothing is downloaded, and it looks up nothing.

Playwright's synchronous interface keeps an event loop running in the thread that it was started in, so
Django takes this thread for one in which a query would block a loop, and other tests cannot run loops of
their own: it is stopped at the end of a module.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from contextlib import contextmanager

import pytest

from tests.caches import refuse_absent

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS_MAX = 15
"""How long anything may take on a busy machine."""
QUIET = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--force-color-profile=srgb"),
)


def program():
    """The path of the browser. None: there is none."""
    named = os.environ.get("DJQ_TEST_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, PROGRAMS)), None)


def expect(what):
    """What Playwright expects of a page or an element, soon."""
    from playwright.sync_api import expect  # noqa: PLC0415 - it may not be here

    expect.set_options(timeout=SECONDS_MAX * 1_000)
    return expect(what)


@contextmanager
def chromium():
    """A browser without a window."""
    if importlib.util.find_spec("playwright") is None:
        refuse_absent("Playwright", "pip install playwright")
    if program() is None:
        refuse_absent("Chromium", "install the package chromium, or name it in DJQ_TEST_CHROMIUM")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it may not be here

    # Chromium's sandbox is not for root.
    options = [*QUIET, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=program(), args=options)
        try:
            yield browser
        finally:
            browser.close()
