"""A function that does not exist is told to whoever looks for a call of it."""

from __future__ import annotations

import pytest

from djq.exceptions import TaskRefused
from djq.tasks import async_task
from tests.kit import samples


def test_a_path_that_leads_nowhere_is_told(djq_queue):
    async_task(samples.add, 1, 2)

    with pytest.raises(AssertionError, match=r"\n'tests\.kit\.samples\.ad' cannot be found: "):
        djq_queue.assert_enqueued("tests.kit.samples.ad")


def test_of_a_path_that_leads_to_a_function_nothing_is_told(djq_queue):
    with pytest.raises(AssertionError, match=r"nothing waits$"):
        djq_queue.assert_enqueued("tests.kit.samples.add")


def test_a_task_whose_function_is_missing_can_be_looked_for(djq_queue):
    async_task("tests.kit.samples.ad", 1)

    djq_queue.assert_enqueued("tests.kit.samples.ad", args=(1,))


def test_none_of_what_no_task_can_ever_call_is_no_answer(djq_queue):
    with pytest.raises(TaskRefused, match="no task ever calls"):
        djq_queue.assert_enqueued("tests.kit.samples.ad", count=0)
