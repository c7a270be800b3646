"""How long the task has waited that has waited longest in a queue: for probes, and for people."""

from __future__ import annotations

import attrs

from djq import assembly
from djq.brokers import get_broker
from djq.core.frame import unpack
from djq.core.message import TaskMessage
from djq.core.received import Waiting
from djq.exceptions import BadPackage
from djq.ports import Broker

__all__ = ["OldestWaiting", "oldest_waiting", "oldest_waiting_seconds"]


@attrs.frozen(kw_only=True)
class OldestWaiting:
    """The task that has waited longest; of its arguments nothing is told."""

    seconds: float | None
    """How long it could have been taken; 0 when nothing waits. None: the broker cannot tell."""

    id: str = ""
    """Empty when nothing waits, and of what cannot be opened here; `name` and `func` likewise."""
    name: str = ""
    func: str = ""
    """The dotted path of the function."""


def oldest_waiting(broker: Broker | None = None) -> OldestWaiting:
    """Look at the task that has waited longest in a queue; one round trip, and nothing is taken.

    What is out, or held back for later, does not wait. The time is the broker's own where it knows since
    when the task could be taken, and otherwise counts from when it was sent. Amazon SQS cannot tell, and
    a broker of your own that has no `peek`.

    Args:
        broker: Whose queue it is; the settings' own when None.

    Raises:
        BrokerUnavailable: The broker did not answer.
        ConfigError: Q_CLUSTER has errors.
    """
    broker = get_broker() if broker is None else broker
    shown = broker.peek()
    if shown is None:
        return OldestWaiting(seconds=None)
    found = [_read(waiting, broker.list_key) for waiting in shown]
    # What cannot be opened, of an age that nobody knows, says nothing of the others.
    known = [oldest for oldest in found if oldest.seconds is not None]
    if found and not known:
        return OldestWaiting(seconds=None)
    return max(known, key=lambda oldest: oldest.seconds or 0.0, default=OldestWaiting(seconds=0.0))


def oldest_waiting_seconds(broker: Broker | None = None) -> float | None:
    """How long the task has waited that has waited longest: `seconds` of `oldest_waiting`."""
    return oldest_waiting(broker).seconds


def _read(waiting: Waiting, queue: str) -> OldestWaiting:
    try:
        message = unpack(assembly.make_codec(queue=queue).open(waiting.package))
    except BadPackage:
        return OldestWaiting(seconds=waiting.seconds)
    seconds = _seconds_since(message) if waiting.seconds is None else waiting.seconds
    return OldestWaiting(seconds=seconds, id=message.id, name=message.name, func=message.func)


def _seconds_since(message: TaskMessage) -> float:
    now = assembly.surroundings().clock.now()
    # Another host's clock may be ahead of this one's.
    return max((now - message.enqueued_at).total_seconds(), 0.0)
