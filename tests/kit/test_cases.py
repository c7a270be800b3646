"""The mixins for `unittest` give what the fixtures give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from djq.models import Task
from djq.tasks import async_task, result
from djq_testing.cases import ClockMixin, LiveClusterMixin, QueueMixin, SyncMixin
from tests.kit import samples


class HeldTests(ClockMixin, QueueMixin, TestCase):
    djq_clock_start = datetime(2026, 3, 1, tzinfo=UTC)

    def test_tasks_are_held_and_run(self):
        task_id = async_task(samples.add, 1, 2, on_commit=True)
        self.djq_clock.advance(hours=1)

        self.djq_queue.assert_enqueued(samples.add, args=(1, 2))
        self.djq_queue.run_all()

        self.assertEqual(result(task_id), 3)
        self.assertEqual(Task.objects.get().time_taken(), 3_600)

    def test_the_clock_starts_where_the_class_says(self):
        self.assertEqual(self.djq_clock.now(), self.djq_clock_start)

    def test_a_block_holds_back_until_its_end(self):
        with transaction.atomic():
            samples.when_committed(1)
            self.djq_queue.refute_enqueued()
        self.djq_queue.assert_enqueued(samples.note, args=(1,))


class HeldInRealTransactionsTests(QueueMixin, TransactionTestCase):
    available_apps = ("djq",)

    def test_tasks_are_held_and_run(self):
        samples.when_committed(1)

        self.djq_queue.assert_enqueued(samples.note, args=(1,))
        (done,) = self.djq_queue.run_all()

        self.assertTrue(done.success)


class InMemoryTests(ClockMixin, QueueMixin, SimpleTestCase):
    djq_store = "memory"

    def test_no_database_is_needed(self):
        task_id = async_task(samples.add, 1, 2)
        self.djq_queue.run_all()

        self.assertEqual(result(task_id, wait=10_000), 3)

    def test_a_wait_takes_no_time(self):
        before = self.djq_clock.now()

        self.assertIsNone(result("nobody", wait=60_000))

        self.assertEqual(self.djq_clock.now() - before, timedelta(minutes=1))


class SyncTests(SyncMixin, TestCase):
    djq_raises = True

    def test_tasks_run_here(self):
        self.assertEqual(result(async_task(samples.add, 1, 2)), 3)

    def test_errors_are_raised(self):
        with self.assertRaises(LookupError):
            async_task(samples.fail)


class LiveTests(LiveClusterMixin, TestCase):
    def setUp(self):
        """A cluster of processes cannot see what a TestCase does: that is said before it starts."""
        with self.assertRaisesRegex(RuntimeError, "use TransactionTestCase"):
            super().setUp()

    def test_a_test_case_is_refused(self):
        self.assertFalse(hasattr(self, "djq_live_cluster"))


class OrderOfBasesTests(SimpleTestCase):
    def test_a_mixin_behind_the_case_is_refused(self):
        with self.assertRaisesRegex(
            TypeError, r"setUp is never called: class Wrong\(QueueMixin, T"
        ):
            type("Wrong", (ClockMixin, TestCase, QueueMixin), {})

    def test_mixins_that_exclude_one_another_are_refused(self):
        for mixins in [(SyncMixin, QueueMixin), (ClockMixin, LiveClusterMixin)]:
            with self.subTest(mixins), self.assertRaisesRegex(TypeError, "exclude one another"):
                type("Wrong", (*mixins, TestCase), {})

    def test_mixins_of_a_project_may_inherit_from_them(self):
        ours = type("Ours", (ClockMixin, QueueMixin), {})

        self.assertTrue(issubclass(type("Fine", (ours, TestCase), {}), QueueMixin))
