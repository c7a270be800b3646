"""Tasks that run one after another (the manual, 1.7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from djq import assembly
from djq.core.composition import derived_id
from djq.core.frame import pack
from djq.core.message import TaskMessage
from djq.core.options import Options, split
from djq.exceptions import TaskRefused
from djq.ports import Broker
from djq.tasks.reading import Cached, count_group, delete_group, fetch_group, result_group
from djq.tasks.road import Road
from djq.tasks.sending import Call, Func, message_of, naming, parts_of, read_call
from djq.tasks.snapshot import Snapshot

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from djq.models import Task

OnFailure = Literal["stop", "continue"]
ON_FAILURE = ("stop", "continue")
OF_THE_CHAIN = ("group", "cached")
"""Options that all links share."""


def async_chain(
    chain: Iterable[Call],
    group: str | None = None,
    cached: Cached = None,
    sync: bool | None = None,
    broker: Broker | None = None,
    *,
    on_failure: OnFailure = "stop",
    pass_result: bool = False,
    on_commit: bool | None = None,
) -> str:
    """Run tasks one after another: each is sent when the one before it has its outcome.

    Args:
        chain: The links, each (function, args, kwargs) with the latter two left out or not, or a
            function alone. The kwargs may have the options `hook`, `save`, `timeout`, `task_name` and
            `max_attempts`, directly or in `q_options`.
        group: Label under which the links can be found. None: an id of 32 hex digits.
        cached: Whether outcomes go to the cache. None: as the setting says.
        sync: True runs the chain here and now. None: as the setting says.
        broker: The broker to send the first link by. None: this process' own.
        on_failure: `stop` gives each link after a failed one a failure that says which link stopped
            it; `continue` runs them all the same.
        pass_result: True gives each link the result of the one before it as its first argument. After
            a failed one, in a chain that goes on, that is None.
        on_commit: True sends it when the present transaction commits. None: as the setting says.

    Returns:
        The label of the group, for `result_group(label, count=len(chain))` and the like.

    Raises:
        TaskRefused: A link cannot be queued as it is; nothing was sent. The message says which.
        BrokerUnavailable: The broker did not take the first link.
    """
    given = {"group": group, "cached": cached, "sync": sync, "broker": broker}
    ready = _prepare(chain, {**given, "on_commit": on_commit}, on_failure, pass_result=pass_result)
    ready.send()
    return ready.label


@attrs.frozen
class _Ready:
    """A chain in which nothing was found wrong."""

    label: str
    road: Road
    frame: bytes
    """That of the first link, which has the others inside. Empty: there are none."""

    def send(self) -> None:
        if self.frame:
            self.road.send([self.frame])


def _prepare(
    chain: Iterable[Call], given: Mapping[str, Any], on_failure: OnFailure, *, pass_result: bool
) -> _Ready:
    options, _ = split(given)
    if on_failure not in ON_FAILURE:
        raise TaskRefused(f"on_failure is {on_failure!r:.100}; it must be 'stop' or 'continue'")
    if not isinstance(pass_result, bool):
        raise TaskRefused(f"pass_result is {pass_result!r:.100}; it must be True or False")
    road = Road.of(options)
    chain_id = assembly.surroundings().ids.task_id()
    label = chain_id if options.group is None else options.group
    links = _links(chain, chain_id, attrs.evolve(options, group=label), road.cached)
    frame = b""
    for link in reversed(links):
        frame = pack(
            attrs.evolve(
                link,
                total=len(links),
                chain=chain_id,
                rest=frame,
                goes_on=on_failure == "continue",
                hands_on=pass_result,
            )
        )
    if frame:
        road.check(frame)
    return _Ready(label, road, frame)


def _links(
    chain: Iterable[Call],
    chain_id: str,
    options: Options,
    cached: bool | float,
) -> list[TaskMessage]:
    now = assembly.surroundings().clock.now()
    links = []
    for place, call in enumerate(chain):
        # Links are counted from 1, as in the failures of links that did not run.
        with naming("link", place + 1):
            func, args, own, keywords = read_call(call)
            _refuse_shared(own)
            chosen = attrs.evolve(own, group=options.group)
            id = derived_id(chain_id, f"link:{place}")
            link = message_of(func, args, keywords, chosen, cached, now=now, task_id=id)
        links.append(attrs.evolve(link, place=place))
    return links


def _refuse_shared(options: Options) -> None:
    for key in OF_THE_CHAIN:
        if getattr(options, key) is not None:
            raise TaskRefused(f"the option {key} is for the whole chain, not for one link")


class Chain:
    """Tasks to run one after another, and their results once they have run.

    A change of the links or of an option makes the results void: there are none until it is run again.
    """

    chain: list[Call]
    group: str | None
    cached: Cached
    sync: bool | None
    broker: Broker | None
    on_failure: OnFailure
    pass_result: bool
    on_commit: bool | None

    def __init__(
        self,
        chain: Iterable[Call] | None = None,
        group: str | None = None,
        cached: Cached = None,
        sync: bool | None = None,
        broker: Broker | None = None,
        *,
        on_failure: OnFailure = "stop",
        pass_result: bool = False,
        on_commit: bool | None = None,
    ) -> None:
        """Make it; nothing is sent yet. The arguments are those of `async_chain`."""
        self.chain = [] if chain is None else list(chain)
        self.group = group
        self.cached = cached
        self.sync = sync
        self.broker = broker
        self.on_failure = on_failure
        self.pass_result = pass_result
        self.on_commit = on_commit
        self._ran: Snapshot | None = None
        self._label: str | None = None

    @property
    def started(self) -> bool:
        """Whether it has been run as it is now."""
        return self._ran is not None and self._ran == self._snapshot()

    def append(self, func: Func, /, *args: Any, **kwargs: Any) -> int:
        """Add a link, with its arguments and options as of `async_task`; gives how many there are."""
        self.chain.append((func, args, kwargs))
        return len(self.chain)

    def run(self) -> str:
        """Send the first link; gives the label of the group.

        If the chain has a label of its own and was run before, the label is taken off the links of
        that run.

        Raises:
            TaskRefused: As by `async_chain`.
        """
        given = {"group": self.group, "cached": self.cached, "sync": self.sync}
        ready = _prepare(
            self.chain,
            {**given, "broker": self.broker, "on_commit": self.on_commit},
            self.on_failure,
            pass_result=self.pass_result,
        )
        if self._label is not None and self._label == self.group:
            delete_group(self._label, cached=self.cached)
        ready.send()
        self._label = ready.label
        self._ran = self._snapshot()
        return self._label

    def result(self, wait: float = 0) -> list[Any]:
        """Give the results of the links that succeeded, in their order, when the chain has ended.

        Without `wait` this never returns where not every link's outcome will be kept: with a link
        that has `save=False`, with the setting `save_limit` below 0 or less than there are links, or
        inside the transaction whose commit is to send the chain (`on_commit`, or a queue in that
        database).

        Args:
            wait: Most milliseconds to wait for the end; what there is by then is given. 0 and -1: as
                long as it takes.

        Returns:
            An empty list also when it was not run as it is now.
        """
        label = self._ran_label()
        if label is None:
            return []
        return result_group(label, wait=wait, count=self.length(), cached=self.cached)

    def fetch(self, failures: bool = True, wait: float = 0) -> QuerySet[Task] | list[Task]:
        """Give the task objects of the links, in their order, when the chain has ended.

        Without `wait` this never returns where not every link's outcome will be kept, as by `result`.

        Args:
            failures: False leaves out failed links.
            wait: As by `result`.

        Returns:
            A queryset; from the cache a list. An empty list when it was not run as it is now.
        """
        label = self._ran_label()
        if label is None:
            return []
        return fetch_group(label, failures, wait, self.length(), self.cached)

    def current(self) -> int | None:
        """Give the index of the link that runs now; the length when all have ended.

        None: it was not run as it is now.
        """
        label = self._ran_label()
        return None if label is None else count_group(label, cached=self.cached)

    def length(self) -> int:
        """Say how many links there are."""
        return len(self.chain)

    def _ran_label(self) -> str | None:
        return self._label if self.started else None

    def _snapshot(self) -> Snapshot:
        own = (self.group, self.cached, self.sync, self.broker, self.on_failure, self.pass_result)
        snapshot = Snapshot().add([*own, self.on_commit])
        for link in self.chain:
            func, args, kwargs = parts_of(link)
            flat = args if isinstance(args, tuple | list) else [args]
            snapshot.add([func, *flat]).add_keywords(kwargs)
        return snapshot
