"""The error reporters that the settings name: found here, and told through one courier a process."""

from __future__ import annotations

import atexit
import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
from django.utils.module_loading import import_string

from djq.core.config import Config
from djq.core.report import Reporter
from djq.exceptions import ConfigError
from djq.runtime.courier import Courier
from djq.signals import LoggingObserver

OWN: Mapping[str, tuple[str, str, str]] = {
    "rollbar": ("djq.reporters.rollbar", "RollbarReporter", "djq[rollbar]"),
    "sentry": ("djq.reporters.sentry", "SentryReporter", "djq[sentry]"),
}
"""For each reporter of djq's own: its module, its class, and what to install for it."""

CLOSE_SECONDS = 2.0
"""How long a process that ends waits for the reports that are under way."""

_made: tuple[Config, Courier] | None = None


@attrs.frozen
class FunctionReporter:
    """A function of the user's, as a reporter."""

    function: Callable[[BaseException, Mapping[str, Any]], object]

    def report(self, error: BaseException, about: Mapping[str, Any]) -> None:
        self.function(error, about)


def reporter(config: Config) -> Courier | None:
    """What components tell of errors, the same for all of a process. None: nobody is to be told."""
    global _made  # noqa: PLW0603 - one for the process, as its thread and its connections are
    if not (config.error_reporter or config.rollbar):
        return None
    if _made is not None and _made[0] is config:
        return _made[1]
    makers = {name: partial(_make, name, options) for name, options in config.reporters.items()}
    courier = Courier(makers=makers, observer=LoggingObserver(config.name), cluster=config.name)
    # For programs whose tasks run here and now; a cluster's processes close it themselves.
    atexit.register(courier.close, CLOSE_SECONDS)
    _made = (config, courier)
    return courier


def close() -> None:
    """Before this process ends: give what is to be reported yet a moment, and no more than that."""
    if _made is not None:
        _made[1].close(CLOSE_SECONDS)


def check(config: Config) -> None:
    """Import what the reporters need; a cluster does so before it forks.

    Raises:
        ConfigError: A client library is not installed, its options lead nowhere, or a dotted path leads to no
            reporter.
    """
    for name, options in config.reporters.items():
        if name not in OWN:
            _custom(name, options)
        elif hasattr(kind := _own(name), "check"):
            kind.check(options)


def _make(name: str, options: Mapping[str, Any]) -> Reporter:
    return _maker(name, options)()


def _maker(name: str, options: Mapping[str, Any]) -> Callable[[], Reporter]:
    return partial(_own(name), **options) if name in OWN else _custom(name, options)


def _own(name: str) -> Any:
    """The class of a reporter of djq's own."""
    module, kind, install = OWN[name]
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The error reporter {name!r} in Q_CLUSTER needs the package {error.name}, which is not "
            f"installed: pip install '{install}'."
        ) from error
    except Exception as error:
        raise ConfigError(
            f"The error reporter {name!r} in Q_CLUSTER needs a library that cannot be imported: "
            f"{type(error).__name__}: {error}. Install it anew: pip install --upgrade '{install}'."
        ) from error
    return getattr(found, kind)


def _custom(path: str, options: Mapping[str, Any]) -> Callable[[], Reporter]:
    try:
        found = import_string(path)
    except Exception as error:
        # A module is anybody's code, and raises anything.
        raise ConfigError(
            f"Q_CLUSTER['error_reporter'] names {path!r}, which cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    if isinstance(found, type) and callable(getattr(found, "report", None)):
        return partial(found, **options)
    if callable(found) and not isinstance(found, type):
        return partial(FunctionReporter, partial(found, **options))
    raise ConfigError(
        f"Q_CLUSTER['error_reporter'] names {path!r}, which is no reporter: it has to be a function "
        "that takes (error, about), or a class with such a method, called report."
    )
