"""Reports errors to Rollbar, with its own library (the manual, 1.2.27)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rollbar


class RollbarReporter:
    """Passes each error on, and waits for the answer.

    The library has one set of settings a process. Where the project has called `rollbar.init` itself,
    that stands.
    """

    def __init__(self, **options: Any) -> None:
        """`options` are those of `rollbar.init`.

        Frames are sent without their variables, since these hold the arguments of tasks, unless
        `locals` in the options says otherwise.
        """
        if rollbar.SETTINGS["access_token"] is None:
            own = {
                # The courier's thread is there to wait; with another one here nobody would.
                "handler": "blocking",
                "allow_logging_basic_config": False,
                **options,
                "locals": {"enabled": False, **options.get("locals", {})},
            }
            rollbar.init(**own)

    def report(self, error: BaseException, about: Mapping[str, Any]) -> None:
        """Send it. What the service answers is told on the library's own logger, `rollbar`."""
        told = {"context": about["func"]}
        if error.__traceback__ is None:
            told["fingerprint"] = f"{type(error).__name__} {about['func']}"
        rollbar.report_exc_info(
            (type(error), error, error.__traceback__), extra_data=dict(about), payload_data=told
        )
