"""What a test lets go wrong between a cluster and its services."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import Literal, TypeVar

from djq.exceptions import BrokerUnavailable, DjqError, StoreUnavailable
from djq.ports import Clock

Answer = TypeVar("Answer")
Loss = Literal["before", "after"] | None

BROKER_VERBS = ("enqueue", "dequeue", "acknowledge", "extend", "release", "fail")
STORE_VERBS = ("save",)
LOSSES = (None, "before", "after")


class Troubles:
    """Faults that a test has asked for and that have not struck yet."""

    def __init__(self, clock: Clock, tell: Callable[[str, object], None]) -> None:
        """`tell` writes into the story what struck: what is done, and to what."""
        self._clock = clock
        self._tell = tell
        self._away_until = {"broker": 0.0, "store": 0.0}
        """Monotonic seconds."""
        self._drops: defaultdict[str, deque[Loss]] = defaultdict(deque)
        self.duplicates = 0
        """Packages to be handed out that are delivered a second time."""
        self.strikes: Counter[str] = Counter()
        """How often each kind of fault struck."""

    def drop(self, verb: str, error: Loss, times: int) -> None:
        """Let the next calls of a verb be lost."""
        known = (*BROKER_VERBS, *STORE_VERBS)
        if verb not in known:
            raise ValueError(f"{verb!r} is no verb that can be lost; there are {', '.join(known)}")
        if error not in LOSSES:
            raise ValueError(f"error is {error!r}; it must be 'before', 'after' or None")
        if times < 1:
            raise ValueError(f"times is {times!r}; it must be at least 1")
        self._drops[verb].extend([error] * times)

    def go_away(self, service: str, seconds: float) -> None:
        """Let a service not answer for a while from now on; 0: it answers again."""
        if not seconds >= 0:  # no number at all is refused too
            raise ValueError(f"seconds is {seconds!r}; it must be 0 or more")
        self._away_until[service] = self._clock.monotonic() + seconds

    def is_away(self, service: str) -> bool:
        """Whether a service does not answer."""
        return self._clock.monotonic() < self._away_until[service]

    def broker(self, verb: str, act: Callable[[], Answer], nothing: Answer) -> Answer:
        """Do what a verb of the broker does, unless it is lost; `nothing` is then its answer."""
        self._refuse("broker", BrokerUnavailable)
        return self._lose(verb, act, nothing, BrokerUnavailable)

    def save(self, act: Callable[[], Answer], nothing: Answer) -> Answer:
        """The same for the saving of outcomes."""
        self._refuse("store", StoreUnavailable)
        return self._lose("save", act, nothing, StoreUnavailable)

    def store(self, act: Callable[[], Answer]) -> Answer:
        """Do what another verb of a store does."""
        self._refuse("store", StoreUnavailable)
        return act()

    def _refuse(self, service: str, error: type[DjqError]) -> None:
        if self._away_until[service] and self.is_away(service):
            self.strikes[f"{service} away"] += 1
            raise error(f"simulated: the {service} does not answer")

    def _lose(
        self, verb: str, act: Callable[[], Answer], nothing: Answer, error: type[DjqError]
    ) -> Answer:
        if not self._drops[verb]:
            return act()
        loss = self._drops[verb].popleft()
        self.strikes[verb] += 1
        if loss is None:
            self._tell("is lost:", verb)
            return nothing
        if loss == "after":
            act()
        self._tell("fails:", f"{verb}, {loss} its effect")
        raise error(f"simulated: {verb} failed, {loss} its effect")
