"""The pages that are in the documentation as pictures: light, dark, and as wide as a phone."""

from __future__ import annotations

from djq.models import Failure, OrmQ, Schedule
from djq.wiring import wired
from djq_testing.clock import ManualClock, SeededIds
from tests.browser import states
from tests.browser.chromium import chromium
from tests.browser.pages import make_tables, open_site

LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1400, "height": 500}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1400, "height": 500}},
    "phone": {"color_scheme": "light", "viewport": {"width": 400, "height": 500}},
}
COLOURS = 128
"""So many in a picture: it is a third as large, and looks the same."""


def addresses():
    """The pages, by the names of their pictures."""
    failure, package = Failure.objects.first(), OrmQ.objects.last()
    schedule = Schedule.objects.get(name="Monthly report")
    return {
        "clusters": "djq/clusters/",
        "successes": "djq/success/",
        "failures": "djq/failure/",
        "failure": f"djq/failure/{failure.pk}/change/",
        "schedules": "djq/schedule/",
        "schedule": f"djq/schedule/{schedule.pk}/change/",
        "queue": "djq/ormq/",
        "package": f"djq/ormq/{package.pk}/change/",
    }


def take(folder, temporary):
    """Take all of them; gives the files, one by one."""
    folder.mkdir(exist_ok=True)
    tables = temporary / "tables.sqlite3"
    make_tables(tables)
    with (
        open_site(tables, temporary, name="shop") as site,
        chromium() as browser,
        wired(
            clock=ManualClock(states.NOW),
            ids=SeededIds(0),
            board=states.Board(*states.clusters()),
        ),
    ):
        states.fill()
        cookie = site.cookie(site.user("ann", is_superuser=True))
        for look, options in LOOKS.items():
            context = browser.new_context(**options, locale="en-GB")
            context.add_cookies([cookie])
            context.add_init_script("localStorage['django.admin.navSidebarIsOpen'] = 'false'")
            page = context.new_page()
            for name, address in addresses().items():
                page.goto(site(address))
                file = folder / f"admin-{name}-{look}.png"
                page.screenshot(path=file, full_page=True)
                reduce(file)
                yield file
            context.close()


def reduce(file):
    """Make a picture small: few colours, none of them mixed."""
    from PIL import Image  # noqa: PLC0415 - only who makes pictures has it

    with Image.open(file) as picture:
        # A few red pixels are to stay red.
        chosen = Image.Quantize.MAXCOVERAGE
        colours = picture.convert("RGB").quantize(COLOURS, chosen, dither=Image.Dither.NONE)
    colours.save(file, optimize=True)
