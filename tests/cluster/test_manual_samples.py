"""The code samples of the manual against a live cluster: they run, and print what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import pages

pytestmark = pytest.mark.thorough

MANUAL = Path(__file__).with_name("manual.md")


def test_samples_of_the_manual_print_what_it_says(make_project):
    project = make_project(scheduler=True)
    pages.prepare(project, MANUAL)
    cluster = project.start()

    pages.run_in(project, MANUAL)
    assert cluster.stop() == 0

    assert project.lines("printed.txt") == ["(0.5, 2.0)"] * 2
    changed = "Dear {}, anna has a new email address: anna@example.org"
    no_user = "TypeError: create_html_report() missing 1 required positional argument: 'user'"
    told = [
        pages.Mail("New email", f"{name}@example.com", changed.format(name))
        for name in ("bert", "cleo")
    ]
    assert pages.mails_of(project) == [
        pages.Mail("Follow up", "anna@example.com", "Here are some tips to get you started..."),
        *[mail for mail in told for _ in range(2)],
        pages.Mail("The report you requested", "bert@example.com", "We had a great quarter!"),
        pages.Mail("Welcome", "anna@example.com", "Welcome to our website"),
        pages.Mail("[Django] Report generation failed", "admin@example.com", no_user),
    ]


WRONG = """
```python
print(1)
```

```text
2
```

```python
print("not compared")
```

```pycon
>>> 1 + 1
3
>>> 1 + 2
3
```

```python
# a/file.py
print(3)
```
"""


def test_what_a_page_says_wrongly_is_found_out(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(WRONG)

    complaints = list(pages.complaints_of(page))
    pages.write_files(page, tmp_path, {})

    assert len(complaints) == 2
    assert complaints[0] == "page.md:2\nExpected:\n2\nGot:\n1\n"
    assert "1 + 1\nExpected:\n    3\nGot:\n    2" in complaints[1]
    assert (tmp_path / "a" / "file.py").read_text().endswith("print(3)\n")
