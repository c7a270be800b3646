"""What follows from a task, and the identity of what follows.

The id of a follower is made from the id of its task and the step: a redelivered task, or a second
monitor, makes the same follower again and never a second one.

A chain travels inside its links: each has the frame of the next one behind its body. When a link has
succeeded the next one is sent. When it has failed for good, and the chain does not go on in spite of
it, each link that is left gets a failure that says which one stopped it: whoever waits for the chain
sees it end, and nothing disappears.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Mapping
from datetime import datetime

import attrs

from djq.core.call import dump_value
from djq.core.frame import unpack
from djq.core.joined import with_first_argument
from djq.core.message import Finished, Kind, TaskMessage
from djq.core.names import name_of
from djq.core.settlement import failure, stopped_line, was_stopped


def derived_id(task_id: str, step: str) -> str:
    """32 hex digits, always the same for the same task and step."""
    return hashlib.sha256(f"djq:{task_id}:{step}".encode()).hexdigest()[:32]


def hook_of(finished: Finished) -> TaskMessage | None:
    """The message that calls the hook of a task with its outcome. None: it has no hook."""
    message = finished.message
    if message.hook is None or message.kind is Kind.HOOK:
        return None
    step = "hook:success" if finished.outcome.success else "hook:failure"
    hook_id = derived_id(message.id, step)
    told = (
        attrs.evolve(finished, message=attrs.evolve(message, rest=b""))
        if message.rest
        else finished
    )
    return TaskMessage(
        id=hook_id,
        name=name_of(hook_id),
        func=message.hook,
        enqueued_at=finished.outcome.stopped_at,
        body=pickle.dumps(told, 5),
        kind=Kind.HOOK,
    )


def next_link(finished: Finished) -> TaskMessage | None:
    """The link of the chain that is to run now. None: it was the last, or the chain stops here."""
    message, outcome = finished.message, finished.outcome
    if not message.rest or not (outcome.success or message.goes_on):
        return None
    link = unpack(message.rest)
    body = link.body
    if message.hands_on:
        value = outcome.value if outcome.success else dump_value(None)
        body = with_first_argument(value, body)
    return attrs.evolve(link, enqueued_at=_asked_for_at(finished), body=body)


def stopped_links(finished: Finished) -> Iterator[Finished]:
    """The failures of the links that will never run, since this one has failed."""
    message, outcome = finished.message, finished.outcome
    if outcome.success or message.goes_on:
        return
    line = stopped_line(message)
    asked_for_at = _asked_for_at(finished)
    rest = message.rest
    while rest:
        link = attrs.evolve(unpack(rest), enqueued_at=asked_for_at)
        rest = link.rest
        yield Finished(attrs.evolve(link, rest=b""), failure(line, outcome.stopped_at), attempt=0)


def sends_next(link: TaskMessage, before: Mapping[str, Finished], sent: Mapping[str, int]) -> bool:
    """Whether the next link has to be sent, or an earlier delivery of the one before has seen to it.

    `before` is what was kept of the link before, `sent` how many links of each chain are known to
    have been sent. Whoever sent it may have died before he could say so: it is sent again then, by
    the same id, unless it is known to have run.
    """
    if link.chain is not None and sent.get(link.chain, 0) > link.place:
        return False
    kept = before.get(link.id)
    return kept is None or was_stopped(kept)


def _asked_for_at(finished: Finished) -> datetime:
    """When what follows was asked for: links keep their order where a worker's clock is behind."""
    return max(finished.outcome.stopped_at, finished.message.enqueued_at)
