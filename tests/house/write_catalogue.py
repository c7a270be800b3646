"""Writes djq/locale/en/LC_MESSAGES/django.po, where translators begin, from what djq hands to gettext.

Django's `makemessages` does the same where GNU gettext is installed; this needs Babel alone, so that a
test can see everywhere that the file is true.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path

from babel.messages import Catalog, pofile
from babel.messages.extract import extract_python
from django.utils.translation.template import templatize

from tests.house.source import ROOT

PACKAGE = ROOT / "djq"
CATALOGUE = PACKAGE / "locale" / "en" / "LC_MESSAGES" / "django.po"
COMMAND = "python -m tests.house.write_catalogue"
KEYWORDS = {
    "_": None,
    "_now": None,
    "count_words": (1, 2),
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
}
"""Functions whose texts are translated. With numbers: one and many; a `c`: the context."""


def catalogue() -> Catalog:
    """All texts of djq that are translated, in the order of the alphabet."""
    found = Catalog(locale="en", project="djq", fuzzy=False)
    for path in sorted(PACKAGE.rglob("*.py")):
        _add(found, path, path.read_bytes())
    for path in sorted(PACKAGE.rglob("*.html")):
        source = templatize(path.read_text("utf-8"))
        # As Python it would be indented anyhow.
        lines = "\n".join(textwrap.dedent(line).strip() for line in source.splitlines())
        _add(found, path, lines.encode())
    return found


def _add(found: Catalog, path: Path, source: bytes) -> None:
    texts = extract_python(io.BytesIO(source), KEYWORDS, [], {"encoding": "utf-8"})
    for _line, function, messages, _comments in texts:
        spec = KEYWORDS[function] or (1,)
        given = messages if isinstance(messages, tuple) else (messages,)
        context, ids = None, []
        for place in spec:
            if isinstance(place, tuple):
                context = given[place[0] - 1]
            else:
                ids.append(given[place - 1])
        if None not in ids:
            where = [(path.relative_to(ROOT).as_posix(), None)]
            found.add(tuple(ids) if len(ids) > 1 else ids[0], locations=where, context=context)


def written(found: Catalog) -> str:
    """The text of the file."""
    out = io.BytesIO()
    pofile.write_po(out, found, width=100, sort_output=True, omit_header=True)
    head = (
        '# The texts of djq. Translate them under locale/<your language>/LC_MESSAGES.\nmsgid ""\n'
        'msgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
        '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n'
    )
    return head + out.getvalue().decode()


if __name__ == "__main__":
    CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
    CATALOGUE.write_text(written(catalogue()), "utf-8")
