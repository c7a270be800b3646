"""The how-to pages against a live cluster: their files are written, their examples run as written."""

from __future__ import annotations

import pytest

from tests.cluster import pages
from tests.cluster.harness import open_project, wait_until
from tests.house.source import ROOT

pytestmark = pytest.mark.thorough

PAGES = sorted((ROOT / "docs").glob("howto-*.md"))
EXAMPLES_MIN = 6
MAIL_SECONDS_MAX = 10

MAILS = {
    "howto-emails": {
        ("Welcome", "anna@example.com"),
        ("News", "anna@example.com"),
        ("News", "bert@example.com"),
        ("More news", "anna@example.com"),
        ("Welcome", "gina@example.com"),
        ("Follow up", "gina@example.com"),
    },
    "howto-signals": {
        ("New address", "cleo@example.com"),
        ("New address", "dora@example.com"),
    },
    "howto-reports": {
        ("Your report of 2025", "fred@example.com"),
        ("[Django] A report failed", "admin@example.com"),
    },
}
"""Subject and address of the mails that a page sends."""


@pytest.fixture(scope="module")
def project(tmp_path_factory, django_db_blocker):
    """One project with the files of all pages, and its cluster."""
    folder = tmp_path_factory.mktemp("howtos")
    with (
        django_db_blocker.unblock(),
        open_project(folder, "sqlite", {"scheduler": True}) as project,
    ):
        pages.prepare(project, *PAGES)
        project.start()
        yield project


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_a_how_to_page_are_true(page, project):
    assert sum(block.text.count(">>> ") for block in pages.blocks_of(page)) >= EXAMPLES_MIN

    pages.run_in(project, page)

    expected = MAILS.get(page.stem, set())
    wait_until(
        lambda: expected <= {(mail.subject, mail.to) for mail in pages.mails_of(project)},
        MAIL_SECONDS_MAX,
        f"the mails of {page.stem}",
        lambda: f"{pages.mails_of(project)}\n{project.tails()}",
    )
