"""What each option of the setting `redis` may be, as far as djq knows it; the rest is redis-py's to judge.

redis-py takes most values as they are, and some of them fail with an error of Python when it connects.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any

from djq.core.rules import COUNT_MAX, SECONDS_MAX, Rule, hidden, shown
from djq.exceptions import ConfigError

__all__ = ["check_options"]

PORT_MAX = 65_535


def check_options(options: Mapping[str, Any], place: str) -> None:
    """Hold options to their rules; `place` says in the message where they stand.

    Raises:
        ConfigError: One is wrong.
    """
    for key, value in options.items():
        rule = _RULES.get(key)
        if rule is None or rule.accepts(value):
            continue
        # Who writes a URL for a host may have written a password.
        what = hidden(value) if rule.secret or "@" in str(value) else shown(value)
        raise ConfigError(
            f"The option {key!r} of {place} is {what}; allowed is {rule.allowed}. Change it, or leave "
            "it out."
        )


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_host(value: object) -> bool:
    if not isinstance(value, str) or not value.isprintable() or set(" /@,[]") & set(value):
        return False
    try:
        return bool(value.encode("idna"))  # as Python itself does to look for it
    except UnicodeError:
        return False


def _is_whole(value: object, most: int = COUNT_MAX) -> bool:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return len(value) <= len(str(most)) and int(value) <= most  # redis-py takes these too
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _is_port(value: object) -> bool:
    return _is_whole(value, PORT_MAX) and str(value).strip("0") != ""


def _are_hosts(value: object) -> bool:
    if not isinstance(value, list | tuple) or not value:
        return False
    pairs = [each for each in value if isinstance(each, list | tuple) and len(each) == 2]  # noqa: PLR2004
    return len(pairs) == len(value) and all(_is_host(a) and _is_port(b) for a, b in pairs)


def _is_timeout(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value is None
    return 0 < value <= SECONDS_MAX


def _is_pause(value: object) -> bool:
    return value is not None and (value == 0 or _is_timeout(value)) and not isinstance(value, bool)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_path(value: object) -> bool:
    return value is None or _is_text(value)


def _is_credential(value: object) -> bool:
    return value is None or (isinstance(value, str | bytes | int) and not isinstance(value, bool))


def _is_encoding(value: object) -> bool:
    try:
        return bool(codecs.lookup(str(value)))
    except LookupError:
        return False


def _is_error_handler(value: object) -> bool:
    try:
        return bool(codecs.lookup_error(str(value)))
    except LookupError:
        return False


_SWITCH = Rule(allowed="True or False", accepts=_is_bool)
_TIMEOUT = Rule(allowed="a number of seconds above 0, or None (for ever)", accepts=_is_timeout)
_PAUSE = Rule(allowed="a number of seconds, 0 for never", accepts=_is_pause)
_CREDENTIAL = Rule(allowed="text, or None", accepts=_is_credential, secret=True)
_HOSTS = Rule(allowed="a list of (host, port), as [('10.0.0.5', 26379)]", accepts=_are_hosts)
_ENCODING = Rule(allowed="the name of an encoding, as 'utf-8'", accepts=_is_encoding)
_HANDLER = Rule(allowed="the name of an error handler, as 'strict'", accepts=_is_error_handler)

_RULES: Mapping[str, Rule] = {
    "receipts": _SWITCH,
    "cluster": _SWITCH,
    "startup_nodes": _HOSTS,
    "sentinels": _HOSTS,
    "service_name": Rule(allowed="the name that the Sentinels know", accepts=_is_text),
    "sentinel_kwargs": Rule(
        allowed="a dict of redis-py's options for the Sentinels", accepts=_is_mapping, secret=True
    ),
    "host": Rule(allowed="the name or the address of a host, alone", accepts=_is_host),
    "port": Rule(allowed=f"a whole number from 1 to {PORT_MAX}", accepts=_is_port),
    "db": Rule(allowed="a whole number, at least 0", accepts=_is_whole),
    "unix_socket_path": Rule(allowed="a path as text, or None", accepts=_is_path),
    "username": _CREDENTIAL,
    "password": _CREDENTIAL,
    "socket_timeout": _TIMEOUT,
    "socket_connect_timeout": _TIMEOUT,
    "health_check_interval": _PAUSE,
    "socket_keepalive": Rule(
        allowed="True, False or None", accepts=lambda value: value is None or _is_bool(value)
    ),
    "ssl": _SWITCH,
    "encoding": _ENCODING,
    "charset": _ENCODING,
    "encoding_errors": _HANDLER,
    "errors": _HANDLER,
}
