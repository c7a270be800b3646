"""Makes the pictures of the documentation, from pages as a browser shows them; needs Chromium and Pillow."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"


def main(folder):
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django  # noqa: PLC0415 - nothing of Django before its settings are named

    django.setup()
    from tests.browser.pictures import take  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as temporary:
        for picture in take(folder, Path(temporary)):
            print(picture.name, f"{picture.stat().st_size / 1000:.0f} kB")  # noqa: T201 - a command


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
