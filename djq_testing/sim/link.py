"""The pipe between two simulated boxes: whole messages, each way in order, each as late as the seed says.

As in a real pipe, what a box had sent before it died still arrives, the reader then finds the end,
and a message to a box that is gone goes nowhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from djq_testing.sim.faults import KilledError

if TYPE_CHECKING:
    from djq_testing.sim.spawn import SimProcess
    from djq_testing.sim.stage import Stage


class Channel:
    """One direction of a link."""

    def __init__(self, stage: Stage, reader: SimProcess) -> None:
        self._stage = stage
        self._reader = reader
        self._mail: deque[tuple[float, object]] = deque()
        self._last = 0.0
        self._offers: deque[tuple[float, object]] = deque()
        self._offered = 0.0
        self.is_closed = False
        """The writer is gone."""

    def put(self, message: object) -> None:
        """Put a message on its way."""
        if not self._reader.is_alive:
            return
        timeline = self._stage.timeline
        arrives = timeline.now + self._stage.luck.message_seconds()
        self._last = max(self._last, arrives)
        self._mail.append((self._last, message))
        timeline.at(self._last, self._wake)

    def lay_out(self, message: object) -> None:
        """Put a message where the reader takes it, or the writer takes it back."""
        timeline = self._stage.timeline
        arrives = timeline.now + self._stage.luck.message_seconds()
        self._offered = max(self._offered, arrives)
        self._offers.append((self._offered, message))
        timeline.at(self._offered, self._wake_for_offer)

    def take_offer(self) -> Any | None:
        """The oldest message on offer; None: there is none."""
        if self._offers and self._offers[0][0] <= self._stage.timeline.now:
            return self._offers.popleft()[1]
        return None

    def take_back(self) -> list[Any]:
        """All that is on offer, in the writer's hands again."""
        messages = [message for _, message in self._offers]
        self._offers.clear()
        return messages

    def take(self) -> list[Any]:
        """All that has arrived."""
        now, messages = self._stage.timeline.now, []
        while self._mail and self._mail[0][0] <= now:
            messages.append(self._mail.popleft()[1])
        return messages

    def hurry(self) -> None:
        """Let all that is on its way arrive now: the writer's death is known, so its pipe is full."""
        now = self._stage.timeline.now
        self._mail = deque((min(due, now), message) for due, message in self._mail)

    def close(self) -> None:
        """The writer is gone: the reader notices once it has read everything."""
        self.is_closed = True
        self._stage.timeline.at(self._last, self._notice_end)

    @property
    def is_empty(self) -> bool:
        return not self._mail

    def _wake(self) -> None:
        if self._mail and self._mail[0][0] <= self._stage.timeline.now:
            self._stage.wake(self._reader)

    def _wake_for_offer(self) -> None:
        if self._offers and self._offers[0][0] <= self._stage.timeline.now:
            self._stage.wake(self._reader)

    def _notice_end(self) -> None:
        self._stage.wake(self._reader)


class SimLink:
    """One end; its owner may die while it sends, with some of the messages gone and some not."""

    def __init__(self, stage: Stage, owner: SimProcess, inbox: Channel, outbox: Channel) -> None:
        self._stage = stage
        self._owner = owner
        self.inbox = inbox
        self.outbox = outbox
        owner.links.append(self)

    def send(self, *messages: object) -> None:
        """Put messages on their way, in order; to a box that is gone nothing happens."""
        if not messages:
            return
        count = self._stage.luck.sent(len(messages))
        for message in messages[:count]:
            self.outbox.put(message)
            self._stage.note(self._owner, "sends", message)
        if count is not None:
            raise KilledError

    def receive(self) -> Sequence[Any]:
        """All whole messages that are here, oldest first."""
        self._stage.aside()
        messages = self.inbox.take()
        if messages:
            self._owner.idle_steps = 0
        self._stage.aside()
        return messages

    def offer(self, *messages: object) -> int:
        """Lay messages out for the child; sometimes there is room for a part of them only."""
        self._stage.aside()
        room = self._stage.luck.room(len(messages))
        for message in messages[:room]:
            self.outbox.lay_out(message)
            self._stage.note(self._owner, "offers", message)
        self._stage.aside()
        return room

    def recall(self) -> Sequence[Any]:
        """Take back what the child has not taken."""
        self._stage.aside()
        messages = self.outbox.take_back()
        self._stage.aside()
        return messages

    def take(self) -> Any | None:
        """The oldest message on offer; None: there is none."""
        self._stage.aside()
        message = self.inbox.take_offer()
        if message is not None:
            self._owner.idle_steps = 0
        self._stage.aside()
        return message

    @property
    def ended(self) -> bool:
        """The other box is gone, and all that it had sent has been received."""
        return self.inbox.is_closed and self.inbox.is_empty

    @property
    def clogged(self) -> bool:
        """A simulated pipe has room for everything."""
        return False
