"""Decides whether the demo went as promised: compares each outcome with what it had to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs

from djq.demo.work import Count


@attrs.frozen(kw_only=True)
class Promise:
    """What one queued task has to come to."""

    name: str
    """The task's name, for complaints."""

    success: bool = True
    """Whether it has to succeed."""

    result: Count | str | None
    """The value of a success; of a failure the beginning of its line."""

    attempts: int | None = None
    """How often it has to be delivered. None: that is not promised."""


@attrs.frozen(kw_only=True)
class Ended:
    """An outcome as it stands in the database."""

    name: str
    """The task's name."""

    success: bool
    """Whether it succeeded."""

    result: object
    """What it returned; of a failure its line."""

    attempts: int
    """How often it was delivered."""


@attrs.frozen(kw_only=True)
class Facts:
    """All that a run of the demo is judged by."""

    promises: Mapping[str, Promise]
    """By task id."""

    ended: Mapping[str, Ended]
    """By task id, every row of the database."""

    hook_notes: Sequence[str]
    """The lines that hooks wrote."""

    hook_notes_promised: Sequence[str]
    """The lines that they had to write."""

    gave_up: str | None = None
    """Why the demo did not wait for the queue to be empty. None: it was empty."""

    exit_code: int
    """How the cluster ended."""

    left_over: Sequence[str] = ()
    """Processes of the cluster that were there after its end."""


def complaints(facts: Facts) -> list[str]:
    """Give a sentence for each thing that is not exactly as promised; none when all is.

    What explains most comes first: the reader sees the first few.
    """
    return [
        *([facts.gave_up] if facts.gave_up is not None else []),
        *_about_end(facts),
        *_about_hooks(facts.hook_notes, facts.hook_notes_promised),
        *_about_tasks(facts.promises, facts.ended),
    ]


def complaint_about(promise: Promise, outcome: Ended | None) -> str | None:
    """Say what is wrong with one outcome. None: it is as promised."""
    if outcome is None:
        return f"{promise.name}: has no outcome"
    if not _keeps(promise, outcome):
        wanted = f"{_word(promise.success)}: {promise.result!r}"
        return f"{promise.name}: {_word(outcome.success)}: {outcome.result!r}, not {wanted}"
    if promise.attempts is not None and promise.attempts != outcome.attempts:
        was, wanted = _times(outcome.attempts), _times(promise.attempts)
        return f"{promise.name}: was delivered {was}, not {wanted}"
    return None


def _about_tasks(promises: Mapping[str, Promise], ended: Mapping[str, Ended]) -> Iterator[str]:
    for id_, promise in promises.items():
        complaint = complaint_about(promise, ended.get(id_))
        if complaint is not None:
            yield complaint
    for id_ in ended.keys() - promises.keys():
        yield f"{ended[id_].name}: has an outcome, and was never queued"


def _about_hooks(notes: Sequence[str], promised: Sequence[str]) -> Iterator[str]:
    if list(notes) != list(promised):
        yield f"the hook wrote {list(notes)}, not {list(promised)}"


def _about_end(facts: Facts) -> Iterator[str]:
    if facts.exit_code != 0:
        yield f"the cluster ended with exit code {facts.exit_code}, not 0"
    if facts.left_over:
        yield f"processes were left: {', '.join(facts.left_over)}"


def _keeps(promise: Promise, outcome: Ended) -> bool:
    if promise.success != outcome.success:
        return False
    if promise.success:
        return promise.result == outcome.result
    return str(outcome.result).startswith(str(promise.result))


def _word(success: bool) -> str:  # noqa: FBT001 - a row's flag
    return "succeeded" if success else "failed"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
