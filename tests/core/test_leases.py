"""Leases are extended one by one: what an error does to the others."""

from __future__ import annotations

import pytest

from djq.core.leases import extended_one_by_one
from djq.exceptions import BrokerUnavailable
from djq.ports import Broker


class AboutOne(BrokerUnavailable):
    pass


class Lender(Broker):
    """Gives a new receipt for each, but for those that are in trouble."""

    receipts = True

    def __init__(self, **trouble):
        super().__init__()
        self.trouble = trouble
        self.asked = []

    def extend(self, id):
        self.asked.append(id)
        if id in self.trouble:
            raise self.trouble[id]
        return id if id == "same" else id.upper()


def test_receipts_that_changed_are_given():
    assert Lender().extend_many(iter(["a", "same", "b"])) == {"a": "A", "b": "B"}


def test_no_more_is_asked_after_an_error_and_what_had_changed_is_known():
    broker = Lender(b=BrokerUnavailable("gone"))

    with pytest.raises(BrokerUnavailable, match=r"^gone \(2 of 3 leases were not") as caught:
        broker.extend_many(["a", "b", "c"])

    assert (broker.asked, caught.value.changed) == (["a", "b"], {"a": "A"})


def test_error_about_one_lease_stops_no_other():
    broker = Lender(a=AboutOne("not this one"), c=AboutOne("nor this"), e=BrokerUnavailable("gone"))

    with pytest.raises(BrokerUnavailable, match=r"^not this one \(4 of 6 leases") as caught:
        extended_one_by_one("abcdef", broker.extend, alone=(AboutOne,))

    assert (broker.asked, caught.value.changed) == (list("abcde"), {"b": "B", "d": "D"})
