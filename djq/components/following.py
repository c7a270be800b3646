"""Sends what follows from a batch of outcomes: hooks, and the next links of chains.

It is asked twice: before the batch is saved, since a chain that stops has outcomes of its own to be
saved with it, and after that, to send. What can never be sent, because it is too large for the broker,
stops nobody: a hook is told of and left out, and a link is a failure like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

import attrs

from djq.components.sealing import send_all
from djq.core.codec import Codec
from djq.core.composition import hook_of, next_link, sends_next, stopped_links
from djq.core.events import HookFailed, TaskUnsaved, about
from djq.core.frame import pack, unpack
from djq.core.gathering import Gathered
from djq.core.message import Finished, TaskMessage
from djq.core.protocol import Settled
from djq.core.settlement import bare, failure, winners
from djq.exceptions import BrokerUnavailable, StoreRefused, StoreUnavailable
from djq.ports import Broker, Clock, ResultStore


@attrs.define
class Batch:
    """Outcomes on their way through the stages."""

    items: list[Settled]
    finished: list[Finished]
    final: list[Finished]
    """Those whose task the broker does not present again: chains and iters go by these alone."""
    stage: int = 0
    """How many stages are done: save, follow, mark what was sent, settle with the broker."""
    before: Mapping[str, Finished] | None = None
    """What had been kept of the chains' links. None: nobody has looked yet."""
    stopped: list[Finished] = attrs.Factory(list)
    """Failures of links that will never run."""
    gathered: Sequence[Gathered] = ()
    """Iters that have become complete."""
    unsaved: dict[str, TaskUnsaved] = attrs.Factory(dict)
    """Those links that the store could not keep as they were, by their ids."""
    unfollowed: list[HookFailed] = attrs.Factory(list)
    """Hooks that can never be sent."""
    unsent: list[Finished] = attrs.Factory(list)
    """Failures of links that can never be sent, and of those that will never run for that."""
    sent: set[str] = attrs.Factory(set)
    """Ids of hooks and links that were sent, by an earlier try as well."""
    handed: set[int] = attrs.Factory(set)
    """Tickets of what an earlier try has put in the queue again."""
    unmarked: list[TaskMessage] = attrs.Factory(list)
    """Links that were sent, and of which the store is still to be told."""
    returned: list[Settled] = attrs.Factory(list)
    """What could not be handed back: failures that are to be kept after this batch."""


class Followers:
    """What follows from the outcomes of a monitor."""

    def __init__(
        self, *, broker: Broker, store: ResultStore, codec: Codec, clock: Clock, one_unit: bool
    ) -> None:
        """`one_unit` says that a batch is saved and what follows is sent in one transaction."""
        self._broker = broker
        self._store = store
        self._codec = codec
        self._clock = clock
        self._one_unit = one_unit

    def look_ahead(self, batch: Batch) -> None:
        """Find what its chains come to, before the batch is saved."""
        if batch.before is None or self._one_unit:
            # Once, or at a second try it would find what the first one had saved.
            batch.before = self._kept_of_links(batch.final)
        standing = _standing(batch.final, batch.before)
        batch.stopped = [link for one in standing for link in stopped_links(one)]

    def save_apart(self, failures: Sequence[Finished], batch: Batch) -> list[Finished]:
        """Save each link's failure by itself, since the store refuses one of them; gives what it keeps."""
        return [self._save_alone(one, batch) for one in failures]

    def send(self, batch: Batch) -> None:
        """Send the hooks and the next links of a batch that is saved."""
        outcomes = [*batch.finished, *batch.stopped]
        failures = [
            one.message
            for one in outcomes
            if not one.outcome.success and one.message.hook is not None
        ]
        kept = self._store.kept(failures) if failures else {}
        batch.unfollowed, batch.unsent, batch.unmarked = [], [], []
        # A monitor may have died between a success and its hook. Whatever then becomes of the task
        # when it is delivered again, its record is the success, and its hook is still to be called.
        outcomes = _standing(outcomes, kept)
        final = batch.final
        while outcomes:
            links = self._links_of(final, batch.before or {})
            outcomes = final = self._send(_hooks_of(outcomes), links, batch)

    def mark(self, batch: Batch) -> None:
        """Remember which links were sent; in a unit that may still be undone a cache is told later."""
        later = [link for link in batch.unmarked if self._one_unit and link.cached]
        at_once = [link for link in batch.unmarked if not (self._one_unit and link.cached)]
        if at_once:
            self._store.mark_sent(at_once)
        batch.unmarked = later

    def confirm(self, batch: Batch) -> None:
        """Remember what was sent in a unit, now that it cannot be undone any more."""
        if batch.unmarked:
            # Otherwise a link that is delivered once more would send the next one once more.
            with suppress(StoreUnavailable):
                self._store.mark_sent(batch.unmarked)

    def _links_of(
        self, final: Sequence[Finished], before: Mapping[str, Finished]
    ) -> dict[str, TaskMessage]:
        links = [link for one in _standing(final, before) if (link := next_link(one)) is not None]
        sent = self._store.sent(links) if links else {}
        return {link.id: link for link in links if sends_next(link, before, sent)}

    def _kept_of_links(self, final: Sequence[Finished]) -> Mapping[str, Finished]:
        """What is kept of the links that have another behind them, and of those others."""
        links = [one.message for one in final if one.message.rest]
        both = [each for link in links for each in (link, unpack(link.rest))]
        return self._store.kept(both) if both else {}

    def _send(
        self,
        hooks: Mapping[str, tuple[TaskMessage, TaskMessage]],
        links: Mapping[str, TaskMessage],
        batch: Batch,
    ) -> list[Finished]:
        """Send what follows; gives the failures, saved, of the links that can never be sent."""
        messages = [*(hook for _, hook in hooks.values()), *links.values()]
        refused = self._send_once(messages, batch)
        batch.unfollowed += [
            HookFailed(task.id, task.name, hook.func, task.group, 0, refused[hook.id], "")
            for task, hook in hooks.values()
            if hook.id in refused
        ]
        batch.unmarked += [link for link in links.values() if link.id not in refused]
        failed = []
        for link in links.values():
            if link.id in refused:
                line = f"TaskRefused: it could not be sent: {refused[link.id]}"
                failed.append(Finished(link, failure(line, self._clock.now()), attempt=0))
        failed += [link for one in failed for link in stopped_links(one)]
        if failed:
            try:
                self._store.save(failed)
            except StoreRefused:
                failed = self.save_apart(failed, batch)
            batch.unsent += failed
        return failed

    def _send_once(self, messages: Iterable[TaskMessage], batch: Batch) -> dict[str, str]:
        """Send what no earlier try has; gives the ids of those that can never be sent, and why."""
        left = [message for message in messages if message.id not in batch.sent]
        sent: Collection[int] = ()
        try:
            refused = send_all(self._broker, self._codec, [pack(message) for message in left])
            sent = set(range(len(left))) - refused.keys()
        except BrokerUnavailable as error:
            sent = error.sent
            raise
        finally:
            # A unit that breaks off takes back what was sent in it.
            if not self._one_unit:
                batch.sent.update(left[place].id for place in sent)
        return {left[place].id: reason for place, reason in refused.items()}

    def _save_alone(self, failed: Finished, batch: Batch) -> Finished:
        try:
            self._store.save([failed])
        except StoreRefused as error:
            message = failed.message
            batch.unsaved[message.id] = TaskUnsaved(*about(message, failed.attempt), str(error))
            failed = attrs.evolve(failed, message=bare(message))
            # One that is refused even so has only the log.
            with suppress(StoreRefused):
                self._store.save([failed])
        return failed


def _standing(outcomes: Sequence[Finished], kept: Mapping[str, Finished]) -> list[Finished]:
    """One outcome a task, in their order, as the store keeps it: its first success is final."""
    winning = {one.message.id: one for one in winners(outcomes)}
    return [
        _kept_or(winning[id], kept.get(id))
        for id in dict.fromkeys(one.message.id for one in outcomes)
    ]


def _kept_or(finished: Finished, kept: Finished | None) -> Finished:
    if kept is None or not kept.outcome.success:
        return finished
    return attrs.evolve(finished, outcome=kept.outcome, attempt=kept.attempt)


def _hooks_of(outcomes: Iterable[Finished]) -> dict[str, tuple[TaskMessage, TaskMessage]]:
    """The hooks to call, each with its task, by the hook's id."""
    hooks = ((one.message, hook_of(one)) for one in outcomes)
    return {hook.id: (task, hook) for task, hook in hooks if hook is not None}
