"""What the options of the setting `iron_mq` may be, and what is said of wrong ones.

None is shown, since tokens and passwords stand among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from djq.brokers.ironmq import KEEP_SECONDS_MAX
from djq.exceptions import ConfigError

__all__ = [
    "API_VERSION",
    "LIBRARY",
    "check_found",
    "check_written",
    "keep_seconds",
    "lacking",
    "seconds",
]

API_VERSION = 3
PORT_MAX = 65_535

_TEXTS = ("host", "project_id", "token", "protocol", "config_file", "cloud", "path_prefix")
LIBRARY = (*_TEXTS, "port", "api_version", "keystone")
_OWN = ("http_timeout", "lease_seconds_min", "message_expiration")
_USED = ("cloud", "protocol", "port", "api_version", "host", "path_prefix", "project_id")


def check_written(setting: Mapping[str, Any]) -> None:
    """Check what iron-mq itself would not refuse, or not say why.

    Raises:
        ConfigError: An option is not known or wrong.
    """
    unknown = sorted(set(setting) - {*LIBRARY, *_OWN})
    if unknown:
        raise ConfigError(
            f"Q_CLUSTER['iron_mq'] has an option that is not known: {unknown[0]!r:.80}. There are "
            f"{', '.join((*LIBRARY, *_OWN))}."
        )
    keep_seconds(setting)
    for key in ("http_timeout", "lease_seconds_min"):
        seconds(setting, key, 1)
    for key, value in setting.items():
        if key in _TEXTS and not isinstance(value, str | None):
            raise _wrong(key, "has to be text")
        if key in _RULES and value is not None:
            _check(key, value, setting)


def check_found(found: Any, setting: Mapping[str, Any]) -> None:
    """Check what iron-mq's client uses in the end, wherever it was written.

    Raises:
        ConfigError: An option is wrong.
    """
    for key in (*_USED, "keystone" if found.keystone else "token"):
        _check(key, getattr(found, key), setting)


def lacking(words: str) -> str:
    """What to do when iron-mq makes no client, by what it says of that."""
    lacks = next((lack for beginning, lack in _LACKING.items() if words.startswith(beginning)), "")
    if lacks:
        return (
            f"Q_CLUSTER['iron_mq'] lacks {lacks}. It may also stand in a file iron.json, or in the "
            "environment, as IRON_MQ_PROJECT_ID and IRON_MQ_TOKEN."
        )
    return (
        "What iron-mq reads beside Q_CLUSTER['iron_mq'] cannot be used (it is not shown): correct the file "
        "iron.json here or .iron.json at home, 'config_file', or IRON_MQ_... in the environment."
    )


_KEYSTONE = ("server", "tenant", "username", "password")
_LACKING = {
    "No project_id": "'project_id'",
    "At least one of token": "'token', or 'keystone' in its place, a dict of "
    + ", ".join(map(repr, _KEYSTONE)),
    "Missing keystone": "a part of 'keystone', a dict of " + ", ".join(map(repr, _KEYSTONE)),
}
"""What is missing, by how iron-mq begins to say so."""


def _is_address(value: object) -> bool:
    """Whether it is a URL of HTTP, with a host, and without a user or password."""
    try:
        parts = urlsplit(str(value))
        port = parts.port
    except ValueError:
        return False
    whole = _plain(value) and parts.scheme in {"http", "https"} and "@" not in parts.netloc
    return whole and bool(parts.hostname) and port != 0


def _is_keystone(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    texts = [value.get(key) for key in _KEYSTONE]
    return all(isinstance(text, str) and text for text in texts) and _is_address(value["server"])


def _is_port(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch("[0-9]{1,5}", value) is not None and 0 < int(value) <= PORT_MAX
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= PORT_MAX


def _plain(value: object, without: str = "") -> bool:
    """Whether it is text that can stand in a request as it is."""
    is_text = isinstance(value, str) and value.isascii() and value.isprintable()
    return is_text and bool(value) and not set(f" {without}") & set(str(value))


_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "config_file": (
        lambda value: Path(value).is_file(),
        "has to be the path of a file; there is none",
    ),
    "cloud": (
        lambda value: value is None or _is_address(value),
        "has to be a URL, as https://host:443/prefix, without a user or password (it is not shown)",
    ),
    "keystone": (
        _is_keystone,
        "has to be a dict of 'server' (a URL), 'tenant', 'username' and 'password' (it is not shown)",
    ),
    "protocol": (lambda value: value in ("http", "https"), "has to be 'https' or 'http'"),
    "port": (_is_port, f"has to be a number from 1 to {PORT_MAX}"),
    "api_version": (
        lambda value: isinstance(value, int | str) and value in (API_VERSION, str(API_VERSION)),
        f"has to be {API_VERSION}, or left out: djq speaks no other",
    ),
    "host": (
        lambda value: _plain(value, "/@:?#"),
        "has to be the name of a host alone, as mq-aws-us-east-1-1.iron.io; 'port' is an option too",
    ),
    "path_prefix": (
        lambda value: not value or (_plain(value, "?#") and value[0] == "/" != value[-1]),
        "has to begin with a slash and not to end with one, as '/mq'",
    ),
    "project_id": (
        lambda value: _plain(value, "/?#"),
        "has to be the id alone, as the service shows it",
    ),
    "token": (_plain, "has to be printable characters without spaces (it is not shown)"),
}
"""What an option may be, and how that is said."""


def _check(key: str, value: object, setting: Mapping[str, Any]) -> None:
    accepts, words = _RULES[key]
    if accepts(value):
        return
    if setting.get(key) is None:
        words += "; it is from a file iron.json or .iron.json, 'config_file', or the environment"
    raise _wrong(key, words)


def keep_seconds(setting: Mapping[str, Any]) -> int | None:
    """How long the service is to keep messages. None: as the queue says."""
    if setting.get("message_expiration", KEEP_SECONDS_MAX) is None:
        return None
    kept = ceil(seconds(setting, "message_expiration", KEEP_SECONDS_MAX))
    if kept > KEEP_SECONDS_MAX:
        raise _wrong("message_expiration", f"has to be {KEEP_SECONDS_MAX:,} seconds at most")
    return kept


def seconds(setting: Mapping[str, Any], key: str, default: float) -> float:
    """A length of time among the options."""
    value = setting.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:  # noqa: PLR2004
        raise _wrong(key, "has to be a number of seconds above 0")
    return value


def _wrong(key: str, words: str) -> ConfigError:
    return ConfigError(f"Q_CLUSTER['iron_mq'][{key!r}] {words}.")
