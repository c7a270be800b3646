"""The texts that are translated are all in the file where translators begin."""

from __future__ import annotations

from tests.house import write_catalogue
from tests.house.write_catalogue import CATALOGUE, COMMAND


def test_the_catalogue_has_every_text():
    found = write_catalogue.catalogue()

    assert CATALOGUE.read_text("utf-8") == write_catalogue.written(found), f"run {COMMAND}"
    assert "Preview the next runs" in found, "of a template"
    assert "Scheduled tasks" in found, "of a model"
