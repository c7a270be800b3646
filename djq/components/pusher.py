"""Fetches packages from the broker, checks them, and passes them to the sentinel.

It fetches only what it has credit for. It opens a package far enough to check its signature and read
its header; a package that cannot be opened is failed with the broker, costs one log line, and stops
nothing. A broker that is away is asked again after growing pauses.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import suppress

from djq.components.backoff import Backoff
from djq.core.codec import Codec
from djq.core.events import ChildStopped, PackageLeft, PackageRefused, PackagesAdrift
from djq.core.frame import delivery_of
from djq.core.lifecycle import Role
from djq.core.protocol import Credit, Deliveries, Delivery, Empty, Health, Probe, Ready, Stop
from djq.exceptions import BadPackage, BrokerUnavailable
from djq.ports import Broker, Link, Surroundings, Wait

FETCH_MAX = 250
"""Most packages in one fetch, so that one answer is never very large."""


class Pusher:
    """One fetch a step, as long as there is credit."""

    def __init__(
        self,
        *,
        link: Link,
        broker: Broker,
        codec: Codec,
        around: Surroundings,
        label: str,
        pid: int,
        poll_seconds: float,
        bulk: int | None,
    ) -> None:
        """`bulk` bounds one fetch. None: as much as there is credit for."""
        self._link = link
        self._broker = broker
        self._codec = codec
        self._around = around
        self._label = label
        self._pid = pid
        self._poll_seconds = poll_seconds
        limits = [limit for limit in (bulk, broker.bulk_limit) if limit is not None]
        self._fetch_max = min([FETCH_MAX, *limits])
        self._takes_limit = takes_limit(broker)
        self._backoff = Backoff("broker", around, self._tell_health)
        self._unfailed: list[str] = []
        self._credit = 0
        self._probe: int | None = None
        self._stopping = False
        self._greeted = False

    def step(self) -> Wait | None:
        """Fetch once. None: told to leave, or the sentinel is gone."""
        if not self._greeted:
            self._greeted = True
            self._link.send(Ready(self._pid))
        self._hear()
        if self._stopping or self._link.ended:
            # One try: what cannot be failed now comes back, and the next pusher refuses it as well.
            with suppress(BrokerUnavailable):
                self._fail_refused()
            self._around.observer.notify(ChildStopped(Role.PUSHER, self._label, self._pid))
            return None
        if self._credit <= 0:
            return Wait(None)
        pause = self._backoff.seconds_left()
        if pause > 0:
            return Wait(pause)
        probe, self._probe = self._probe, None
        try:
            packages = self._fetch()
        except BrokerUnavailable as error:
            self._probe = probe
            self._tell_of_lost(error)
            self._backoff.failed(error)
            return Wait(self._backoff.seconds_left())
        self._backoff.answered()
        if packages:
            if not self._pass_on(packages):
                self._probe = probe
            return Wait(0.0)
        if probe is not None:
            self._link.send(Empty(probe))
        return Wait(0.0 if self._broker.blocks else self._poll_seconds)

    def _hear(self) -> None:
        for message in self._link.receive():
            match message:
                case Credit(count):
                    self._credit += count
                case Probe(serial):
                    self._probe = serial
                case Stop():
                    self._stopping = True

    def _tell_health(self) -> None:
        self._link.send(Health(broker=self._backoff.since))

    def _fetch(self) -> Sequence[tuple[str | None, str | bytes]]:
        self._fail_refused()
        return self._broker.dequeue(self._asked) if self._takes_limit else self._broker.dequeue()

    @property
    def _asked(self) -> int:
        """How many packages a fetch asks for."""
        return min(self._credit, self._fetch_max) if self._takes_limit else 1

    def _tell_of_lost(self, error: BrokerUnavailable) -> None:
        taken_max = self._asked if error.taken_max is None else error.taken_max
        if taken_max and not self._broker.receipts:
            self._around.observer.notify(PackagesAdrift(taken_max))

    def _fail_refused(self) -> None:
        while self._unfailed:
            self._broker.fail(self._unfailed[-1])
            self._unfailed.pop()

    def _pass_on(self, packages: Sequence[tuple[str | None, str | bytes]]) -> bool:
        """Send what can be opened; False when there was none, and the sentinel hears nothing."""
        deliveries = []
        for package in packages:
            delivery = self._open(package)
            if delivery is not None:
                deliveries.append(delivery)
        if deliveries:
            self._credit -= len(deliveries)
            self._link.send(Deliveries(tuple(deliveries)))
        return bool(deliveries)

    def _open(self, received: tuple[str | None, str | bytes]) -> Delivery | None:
        receipt, package = received
        attempt: int | None = getattr(received, "attempt", None)
        left_because: str | None = getattr(received, "left_because", None)
        if left_because is not None:
            self._around.observer.notify(PackageLeft(left_because))
            return None
        try:
            return delivery_of(self._codec.open(package), receipt, attempt)
        except BadPackage as error:
            self._around.observer.notify(PackageRefused(receipt, str(error)))
        if receipt is not None:
            # The broker may be gone by now; it is told before the next fetch.
            self._unfailed.append(receipt)
        return None


def takes_limit(broker: Broker) -> bool:
    """Whether its `dequeue` can be told how many packages to take at most; the manual's cannot."""
    return bool(inspect.signature(broker.dequeue).parameters)
