"""The rows that djq keeps: tasks with their outcome, schedules, the ORM broker's queue and its clusters."""

# ruff: noqa: DJ001 -- the documented fields have always known null from empty: no hook, no group.

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.lookups import IContains
from django.db.models.sql.compiler import SQLCompiler
from django.utils.translation import gettext_lazy as _

from djq import assembly
from djq.core.call import PICKLE_PROTOCOL as PROTOCOL
from djq.core.call import Arguments, Function, KeywordArguments, load_call, load_value
from djq.schedule import ScheduleBase
from djq.schedules.fields import EmptyIsNull


class ExactCharField(models.CharField):  # type: ignore[type-arg]  # no generic at run time
    """A text that identifies: compared exactly on every database, and never searched by prefix.

    MariaDB's usual collation takes `Default` and `default` for the same queue; PostgreSQL would add
    a second index for LIKE to a key that is random.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        if connection.vendor == "mysql":
            # Without padding: to the plain one `a` and `a ` are the same.
            mariadb = connection.mysql_is_mariadb  # type: ignore[attr-defined]  # MySQL's alone has it
            collation = "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin"
            return f"varchar({self.max_length}) CHARACTER SET utf8mb4 COLLATE {collation}"
        if connection.vendor == "postgresql":
            # The same type as varchar, under the name that Django adds no LIKE index to.
            return f"character varying({self.max_length})"
        return super().db_type(connection)


@ExactCharField.register_lookup
class AnyCase(IContains):
    """`icontains`: on MariaDB and MySQL the field's collation would have it tell capitals apart."""

    def as_mysql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        """The comparison in small letters."""
        text, found = self.process_lhs(compiler, connection)
        part, wanted = self.process_rhs(compiler, connection)
        compared = self.get_rhs_op(connection, f"LOWER({part})")
        return f"LOWER({text}) {compared}", (*found, *wanted)


class Task(models.Model):
    """A task with its outcome, as the monitor stored it.

    The call and its result are kept as the bytes they travelled in, and unpickled when they are
    asked for: a row whose classes no longer import can still be listed and deleted.
    """

    id = ExactCharField(max_length=32, primary_key=True, editable=False)
    name = ExactCharField(_("name"), max_length=100, editable=False)
    func = models.CharField(_("function"), max_length=256)
    hook = models.CharField(_("hook"), max_length=256, null=True, blank=True)
    group = ExactCharField(_("group"), max_length=100, null=True, editable=False)
    body = models.BinaryField(default=b"", editable=False)
    value = models.BinaryField(null=True, default=None, editable=False)
    started = models.DateTimeField(_("started"), editable=False)
    stopped = models.DateTimeField(_("stopped"), editable=False)
    success = models.BooleanField(_("success"), default=True, editable=False)
    traceback = models.TextField(_("traceback"), blank=True, default="", editable=False)
    attempts = models.SmallIntegerField(_("attempts"), default=1, editable=False)
    place = models.IntegerField(default=0, editable=False)
    queue = ExactCharField(_("queue"), max_length=100, blank=True, default="", editable=False)
    options = models.TextField(_("options"), blank=True, default="", editable=False)

    from_cache = False
    """Its outcome went to the cache: there its group is, unless it was saved."""

    class Meta:
        verbose_name = _("Task")
        verbose_name_plural = _("Tasks")
        ordering: ClassVar = ["-stopped", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["success", "stopped", "id"], name="djq_task_outcome"),
            models.Index(fields=["name"], name="djq_task_name"),
            models.Index(fields=["group", "success", "stopped", "id"], name="djq_task_group"),
        ]

    def __str__(self) -> str:
        return str(self.name or self.id)

    @property
    def args(self) -> Arguments:
        """The positional arguments; unpickled at each call."""
        return self._call()[1]

    @args.setter
    def args(self, args: Arguments) -> None:
        func, _args, kwargs = self._call()
        self.body = pickle.dumps((func, tuple(args or ()), kwargs), PROTOCOL)

    @property
    def kwargs(self) -> KeywordArguments:
        """The keyword arguments; unpickled at each call."""
        return self._call()[2]

    @kwargs.setter
    def kwargs(self, kwargs: Mapping[str, Any]) -> None:
        func, args, _kwargs = self._call()
        self.body = pickle.dumps((func, args, dict(kwargs or {})), PROTOCOL)

    @property
    def result(self) -> Any:
        """What the function returned; of a failure the line that says why."""
        return None if self.value is None else load_value(bytes(self.value))

    @result.setter
    def result(self, result: object) -> None:
        self.value = pickle.dumps(result, PROTOCOL)

    def time_taken(self) -> float:
        """Seconds from the call of `async_task` to the outcome, the wait in the queue included."""
        return float((self.stopped - self.started).total_seconds())

    def group_result(self, failures: bool = False) -> list[Any]:
        """Give the results of this task's group; [] without a group."""
        return (
            [] if self.group is None else self._shelf.group_results(self.group, failures=failures)
        )

    def group_count(self, failures: bool = False) -> int:
        """Count the outcomes of this task's group, or the failures alone; 0 without a group."""
        return 0 if self.group is None else self._shelf.group_count(self.group, failures=failures)

    def group_delete(self, tasks: bool = False) -> int:
        """Take the label off the tasks of this group, this one too; with `tasks` delete them.

        This object still says which group it was. Gives how many there were; 0 without a group.
        """
        return 0 if self.group is None else self._shelf.group_delete(self.group, rows=tasks)

    @property
    def _shelf(self) -> assembly.Shelf:
        return assembly.get_shelf(self.from_cache and self._state.adding)

    @classmethod
    def get_result(cls, task_id: str | UUID) -> Any | None:
        """Give the result of a task by its id or name; None when there is no outcome."""
        task = cls.get_task(task_id)
        return None if task is None else task.result

    @classmethod
    def get_task(cls, task_id: str | UUID) -> Task | None:
        """Give a task by its id or name, of several with one name the newest; None: there is none."""
        return assembly.get_database_store().find(task_id)

    @classmethod
    def get_result_group(cls, group_id: str, failures: bool = False) -> list[Any]:
        """Give the results of a group in the order of the calls; with `failures` theirs too."""
        return assembly.get_database_store().group_results(group_id, failures=failures)

    @classmethod
    def get_task_group(cls, group_id: str, failures: bool = True) -> models.QuerySet[Task]:
        """Give the tasks of a group in the order of the calls, failures too unless not wanted."""
        return assembly.get_database_store().group_tasks(group_id, failures=failures)

    @classmethod
    def get_group_count(cls, group_id: str, failures: bool = False) -> int:
        """Count the outcomes of a group, failures included; with `failures` those alone."""
        return assembly.get_database_store().group_count(group_id, failures=failures)

    @classmethod
    def delete_group(cls, group_id: str, objects: bool = False) -> int:
        """Take the label off the tasks of a group; with `objects` delete them. Gives how many."""
        return assembly.get_database_store().group_delete(group_id, rows=objects)

    def _call(self) -> tuple[Function, Arguments, KeywordArguments]:
        return load_call(bytes(self.body)) if self.body else (self.func, (), {})


class SuccessManager(models.Manager["Success"]):
    """Tasks that succeeded."""

    def get_queryset(self) -> models.QuerySet[Success]:
        # As a value, or Django leaves the comparison out, and SQLite then finds no index for it.
        return super().get_queryset().filter(success=models.Value(True))


class FailureManager(models.Manager["Failure"]):
    """Tasks that failed."""

    def get_queryset(self) -> models.QuerySet[Failure]:
        return super().get_queryset().filter(success=models.Value(False))


class Success(Task):
    """A task that succeeded."""

    objects: ClassVar[SuccessManager] = SuccessManager()

    class Meta:
        proxy = True
        ordering: ClassVar = ["-stopped", "-id"]
        verbose_name = _("Successful task")
        verbose_name_plural = _("Successful tasks")


class Failure(Task):
    """A task that failed."""

    objects: ClassVar[FailureManager] = FailureManager()

    class Meta:
        proxy = True
        ordering: ClassVar = ["-stopped", "-id"]
        verbose_name = _("Failed task")
        verbose_name_plural = _("Failed tasks")


class Clusters(Task):
    """The page of the clusters in the admin: a model in name only, so that the admin has a place for it.

    It has no rows of its own; what it adds is the permission to see the page.
    """

    class Meta:
        proxy = True
        default_permissions = ("view",)
        verbose_name = _("clusters")
        verbose_name_plural = _("Clusters")


class Progress(models.Model):
    """How far an iter or a chain has come: the elements that are there, or the links that were sent."""

    id = ExactCharField(max_length=32, primary_key=True, editable=False)
    total = models.IntegerField()
    done = models.IntegerField(default=0)
    touched = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["touched"], name="djq_progress_old")]

    def __str__(self) -> str:
        return str(self.id)


class IterElement(models.Model):
    """The outcome of an iter's element, until all of them are there."""

    iter = ExactCharField(max_length=32, editable=False)
    place = models.IntegerField()
    success = models.BooleanField()
    value = models.BinaryField()
    body = models.BinaryField(default=b"")
    traceback = models.TextField(default="")
    stopped = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["iter", "place"], name="djq_iterelement_once")
        ]

    def __str__(self) -> str:
        return f"{self.iter}[{self.place}]"


class NameField(EmptyIsNull, ExactCharField):
    """A name that is unique where there is one."""


class Schedule(ScheduleBase):
    """When a task is to be made, again and again."""

    name = NameField(_("name"), max_length=100, null=True, blank=True, unique=True)

    class Meta:
        verbose_name = _("Scheduled task")
        verbose_name_plural = _("Scheduled tasks")
        ordering: ClassVar = ["next_run"]
        indexes: ClassVar = [models.Index(fields=["due_at", "id"], name="djq_schedule_due")]

    def __str__(self) -> str:
        return self.name or self.func


class OrmQ(models.Model):
    """A package in the queue of the ORM broker.

    It can be taken when `available_at` has come: the moment it was queued at first, the end of its
    lease once it has been taken. `attempts` counts how often it was taken and never goes back, since
    a receipt names the delivery by it; `unbegun` counts those among them that were given back before
    the task began, and that do not count as attempts of the task.
    """

    key = ExactCharField(_("key"), max_length=100)
    payload = models.TextField(_("payload"))
    lock = models.DateTimeField(_("lock"), null=True)
    available_at = models.DateTimeField(_("available at"))
    attempts = models.IntegerField(_("attempts"), default=0)
    unbegun = models.IntegerField(_("unbegun"), default=0)

    class Meta:
        verbose_name = _("Queued task")
        verbose_name_plural = _("Queued tasks")
        indexes: ClassVar = [
            models.Index(fields=["key", "available_at", "id"], name="djq_ormq_due"),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.pk}"


class Picture(models.Model):
    """The statistics of one running cluster, where the queue is in the database and no cache is shared."""

    id = ExactCharField(max_length=64, primary_key=True)
    queue = ExactCharField(max_length=100)
    text = models.TextField()
    until = models.FloatField()

    def __str__(self) -> str:
        return f"{self.queue} {self.pk}"
