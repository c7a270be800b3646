"""What all brokers over a client library do alike with the client: one a process, and none in a pickle."""

from __future__ import annotations

import os
from typing import Any


class OneClient:
    """Has a client that is made when it is first needed; a pickle, and what is closed, has none."""

    _made: tuple[int, Any] | None = None
    """The process that made the client, and the client."""

    @property
    def _client(self) -> Any:
        """None: it has to be made. In a child after a fork too: its parent goes on with what it inherited."""
        made = self._made
        return made[1] if made is not None and made[0] == os.getpid() else None

    @_client.setter
    def _client(self, client: Any) -> None:
        self._made = None if client is None else (os.getpid(), client)

    def close(self) -> None:
        """Let go of the client; the next verb makes another."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": None}
