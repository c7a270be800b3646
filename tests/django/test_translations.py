"""The admin's pages in a language where every text stands in guillemets: what has none is not translated."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import attrs
import django
import pytest
from babel.messages import Catalog, mofile, pofile
from django.utils.translation import trans_real

from djq.brokers import get_broker
from djq.models import OrmQ, Schedule
from djq.wiring import wired
from tests.django.admin_parts import CLUSTERS, FAILURES, QUEUE, SCHEDULES, SUCCESSES, task
from tests.django.overview_parts import NOON, RUNNING, STAT, Board, cluster
from tests.house.write_catalogue import catalogue

LANGUAGE = "eo"
"""Not a language that djq has; whatever Django has in it is hidden by what is written here."""
OWN_WORDS = re.compile(r"[A-Za-z]{2,}")
DATA = re.compile(
    r"task-\d+|math\.\w+|[0-9a-f]{32}|ValueError.*|told to|admin|tests|orion|None|True|False"
    r"|Django Q|ID|Search|⚠ .*",
    re.DOTALL,
)
"""What is shown as it is: names, functions, values, the label of the settings, errors of djq, which are in
English as its log is; and two of Django's own, which its catalogue for English lacks."""


class Texts(HTMLParser):
    """What a page shows, text by text, with the titles and labels of its elements."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag, attrs):
        self._silent += tag in {"script", "style"}
        for name, value in attrs:
            if name in {"title", "aria-label", "placeholder", "alt"} or (
                name == "value" and dict(attrs).get("type") == "submit"
            ):
                self.found.append(value or "")

    def handle_endtag(self, tag):
        self._silent -= tag in {"script", "style"}

    def handle_data(self, data):
        if not self._silent:
            self.found.append(data.strip())


def texts_of_django() -> list[Catalog]:
    root = Path(django.__file__).parent
    files = [
        "conf/locale/en/LC_MESSAGES/django.po",
        "contrib/admin/locale/en/LC_MESSAGES/django.po",
        "contrib/auth/locale/en/LC_MESSAGES/django.po",
        "contrib/contenttypes/locale/en/LC_MESSAGES/django.po",
    ]
    return [pofile.read_po(io.BytesIO((root / name).read_bytes()), locale="en") for name in files]


def marked(text):
    """Formats of dates and numbers are data, though they are translated."""
    return text if re.fullmatch(r"[A-Z_]+", text) else f"«{text}»"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of translations."""
    foreign = Catalog(locale=LANGUAGE, fuzzy=False)
    for found in [*texts_of_django(), catalogue()]:
        for message in found:
            if not message.id:
                continue
            one = message.id if isinstance(message.id, str) else message.id[0]
            many = one if isinstance(message.id, str) else message.id[1]
            new = marked(one) if many is one else (marked(one), marked(many))
            foreign.add(message.id, new, context=message.context)
    path = tmp_path_factory.mktemp("locale") / LANGUAGE / "LC_MESSAGES"
    path.mkdir(parents=True)
    with (path / "django.mo").open("wb") as file:
        mofile.write_mo(file, foreign)
    return path.parent.parent


@pytest.fixture
def foreign(folder, settings, admin_client):
    """A client of a project in that language."""
    settings.LOCALE_PATHS = [str(folder)]
    settings.LANGUAGE_CODE = LANGUAGE
    settings.USE_I18N = True
    trans_real._translations.pop(LANGUAGE, None)
    yield admin_client
    trans_real._translations.pop(LANGUAGE, None)


@pytest.fixture
def rows():
    """Something of everything, named so that it is not taken for a text."""
    kept = task(1)
    failed = task(2, success=False, traceback="ValueError: told to")
    schedule = Schedule.objects.create(name="task-3", func="math.floor")
    get_broker().enqueue("nothing that can be opened")
    return kept, failed, schedule


def untranslated(client, url):
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code, answer.get("Location"))
    texts = Texts()
    texts.feed(answer.content.decode())
    shown = [text for text in texts.found if OWN_WORDS.search(DATA.sub("", text))]
    assert any("«" in text for text in shown)
    return [text for text in shown if "«" not in text]


@pytest.mark.django_db
def test_every_text_of_the_pages_can_be_translated(foreign, rows):
    board = Board(
        attrs.evolve(STAT, running=(attrs.evolve(RUNNING, name="task-4", func="math.floor"),)),
        cluster(7, "orion", "Stopping", store_away_since=NOON),
        cluster(8, "orion", "Starting"),
        cluster(9, "orion", "Idle"),
    )
    with wired(board=board):
        see_every_page(foreign, rows)


def see_every_page(foreign, rows):
    kept, failed, schedule = rows
    urls = [
        SUCCESSES,
        f"{SUCCESSES}{kept.pk}/change/",
        f"{SUCCESSES}{kept.pk}/delete/",
        FAILURES,
        f"{FAILURES}{failed.pk}/change/",
        SCHEDULES,
        f"{SCHEDULES}add/",
        f"{SCHEDULES}{schedule.pk}/change/",
        CLUSTERS,
        QUEUE,
        f"{QUEUE}{OrmQ.objects.get().pk}/change/",
    ]

    assert {url: found for url in urls if (found := untranslated(foreign, url))} == {}
