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
    return attrs.evolve(link, enqueued_at=outcome.stopped_at, body=body)


def stopped_links(finished: Finished) -> Iterator[Finished]:
    """The failures of the links that will never run, since this one has failed."""
    message, outcome = finished.message, finished.outcome
    if outcome.success or message.goes_on:
        return
    line = stopped_line(message)
    rest = message.rest
    while rest:
        link = attrs.evolve(unpack(rest), enqueued_at=outcome.stopped_at)
        rest = link.rest
        yield Finished(attrs.evolve(link, rest=b""), failure(line, outcome.stopped_at), attempt=0)


def sends_next(
    finished: Finished, link: TaskMessage, before: Mapping[str, Finished], *, one_unit: bool
) -> bool:
    """Whether the next link has to be sent, or an earlier delivery of this one has seen to it.

    `before` is what was kept of both links before this outcome was saved. `one_unit` says that what
    follows is sent in the transaction in which the database keeps an outcome: a success in it never
    stands alone. Elsewhere whoever kept it may have died before he sent: the link is sent again
    then, by the same id, unless it is known to have run.
    """
    kept = before.get(link.id)
    if kept is not None and not was_stopped(kept.outcome):
        return False
    own = before.get(finished.message.id)
    is_whole = one_unit and not finished.message.cached
    return not (is_whole and finished.outcome.success and own is not None and own.outcome.success)
