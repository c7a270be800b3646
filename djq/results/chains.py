"""How many links of each chain have been sent, in a database: a link that comes twice sends nothing twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import connections

from djq.core.message import TaskMessage
from djq.results.elements import KEPT_DAYS, forget_before
from djq.results.moments import as_kept

if TYPE_CHECKING:
    from djq.models import Progress


class DatabaseChains:
    """The chains in the table `djq_progress` of one database."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def sent(self, links: Iterable[TaskMessage]) -> dict[str, int]:
        """How many links of these chains have been sent."""
        chains = {link.chain for link in links}
        model: type[Progress] = apps.get_model("djq", "Progress")
        rows = model.objects.using(self._alias).filter(id__in=chains)
        return dict(rows.values_list("id", "done"))

    def mark(self, links: Sequence[TaskMessage]) -> None:
        """Remember that these links have been sent; in one statement."""
        model: type[Progress] = apps.get_model("djq", "Progress")
        connection = connections[self._alias]
        last = {link.chain: link for link in sorted(links, key=lambda link: link.place)}
        rows = [
            model(
                id=chain,
                total=link.total or 0,
                done=link.place + 1,
                touched=as_kept(connection, link.enqueued_at),
            )
            for chain, link in sorted(last.items(), key=lambda pair: pair[1].id)
            if chain is not None
        ]
        has_target = connection.features.supports_update_conflicts_with_target
        model.objects.using(self._alias).bulk_create(
            rows,
            update_conflicts=True,
            update_fields=["done", "touched"],
            unique_fields=["id"] if has_target else None,
        )
        if any(link.place + 1 == link.total for link in links):
            newest = max(link.enqueued_at for link in links)
            forget_before(self._alias, newest - timedelta(days=KEPT_DAYS))
