"""What all brokers over a client library do alike with the client: one a process, and none in a pickle."""

from __future__ import annotations

from typing import Any


class OneClient:
    """Has a client that is made when it is first needed; a pickle, and what is closed, has none."""

    _client: Any = None

    def close(self) -> None:
        """Let go of the client; the next verb makes another."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": None}
