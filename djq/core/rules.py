"""What each setting may be: one rule a key, and what is to be said when a rule is broken.

A rule looks at one value and never raises, whatever the value is. What concerns two settings at
once stands in `djq.core.config`. Of a secret setting the value is never shown, and of no setting
a value that may hold a password (a mapping, a URL).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

SECONDS_MAX = 1_000_000_000
"""About 31 years: any moment reckoned with it still is a date."""

COUNT_MAX = 2**31 - 1
NAME_CHARACTERS_MAX = 100
SHOWN_CHARACTERS_MAX = 80
SHOWN_BITS_MAX = 256
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

BROKER_KEYS = (
    "broker_class",
    "disque_nodes",
    "iron_mq",
    "sqs",
    "orm",
    "mongo",
    "django_redis",
    "redis",
)
"""The settings that choose a broker; where several are set, the first of these wins."""

NOT_YET: Mapping[str, str] = {
    "encrypt": "Remove it: packages are signed, and can be read by who can read the broker.",
}
"""Keys that are known and checked, but whose feature is not there: key to the way out."""


@attrs.frozen(kw_only=True)
class Problem:
    """One thing that is wrong, or doubtful, with the settings."""

    key: str
    """The key of Q_CLUSTER that it is about; empty when it is about no single key."""

    code: str
    """`E` or `W` and three digits, as the system checks show it after `djq.`."""

    message: str
    """What is wrong; one or two sentences."""

    hint: str
    """What to do about it."""

    @property
    def warning(self) -> bool:
        """True: it works, but probably not as meant."""
        return self.code.startswith("W")


@attrs.frozen(kw_only=True)
class Rule:
    """What one setting may be."""

    allowed: str
    """The values that are accepted, in words."""

    accepts: Callable[[object], bool]
    """Whether a value is among them; never raises."""

    secret: bool = False
    """True: the value may be a credential and is shown nowhere."""


def shown(value: object) -> str:
    """Write a value for a message: its repr, or only its type where it may hold a password."""
    is_plain = value is None or isinstance(value, int | float | str)
    if not is_plain or (isinstance(value, str) and "://" in value):
        return hidden(value)
    if isinstance(value, int) and value.bit_length() > SHOWN_BITS_MAX:
        # Python refuses to write out a number of more than some thousand digits.
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    if len(text) > SHOWN_CHARACTERS_MAX:
        text = text[:SHOWN_CHARACTERS_MAX] + "..."
    return text


def hidden(value: object) -> str:
    """Write only the type of a value."""
    return f"of the type {type(value).__name__} (its value is not shown)"


def is_dotted_path(value: object) -> bool:
    """Tell whether this looks like `package.module.name`; nothing is imported."""
    if not isinstance(value, str) or "." not in value:
        return False
    return all(part.isidentifier() for part in value.split("."))


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_seconds(value: object) -> bool:
    # A bool is an int to Python, and no number to who writes settings.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value <= SECONDS_MAX


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_name(value: object) -> bool:
    if not isinstance(value, str) or not value.strip():
        return False
    return len(value) <= NAME_CHARACTERS_MAX and value.isprintable()


def _is_log_level(value: object) -> bool:
    return isinstance(value, str) and value.upper() in LOG_LEVELS


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _is_rollbar(value: object) -> bool:
    """Whether these are options of Rollbar, or none at all: without a token nothing can be sent."""
    if not isinstance(value, Mapping) or not _is_mapping(value):
        return False
    return not value or _is_text(value.get("access_token"))


def _are_reporters(value: object) -> bool:
    if not isinstance(value, Mapping):
        return is_dotted_path(value)
    return all(_is_reporter(name, options) for name, options in value.items())


def _is_reporter(name: object, options: object) -> bool:
    if name == "rollbar":
        return _is_rollbar(options)
    return (name == "sentry" or is_dotted_path(name)) and _is_mapping(options)


def _is_mongo_uri(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("mongodb://", "mongodb+srv://"))


def _is_nodes(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(_is_text, value))


def _or(*choices: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: any(accepts(value) for accepts in choices)


def _is_none(value: object) -> bool:
    return value is None


def _whole(low: int, high: int, none: str = "") -> Rule:
    """Make the rule for a whole number; `none` says what None means where it is allowed."""

    def accepts(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int):
            return value is None and bool(none)
        return low <= value <= high

    words = f"a whole number from {low} to {high}"
    return Rule(allowed=f"{words}, or None ({none})" if none else words, accepts=accepts)


def _seconds(none: str = "") -> Rule:
    words = f"a number of seconds above 0, up to {SECONDS_MAX}"
    if none:
        return Rule(allowed=f"{words}, or None ({none})", accepts=_or(_is_none, _is_seconds))
    return Rule(allowed=words, accepts=_is_seconds)


def _optional(
    words: str, accepts: Callable[[object], bool], *, none: str = "not used", secret: bool = False
) -> Rule:
    return Rule(allowed=f"{words}, or None ({none})", accepts=_or(_is_none, accepts), secret=secret)


_SWITCH = Rule(allowed="True or False", accepts=_is_bool)
_OPTIONS = "a dict whose keys are text"

RULES: Mapping[str, Rule] = {
    "name": Rule(
        allowed=f"text of 1 to {NAME_CHARACTERS_MAX} printable characters", accepts=_is_name
    ),
    "workers": _whole(1, 1_000, none="one for each processor"),
    "recycle": _whole(1, COUNT_MAX, none="never"),
    "timeout": _seconds(none="no limit"),
    "retry": _seconds(),
    "compress": _SWITCH,
    "save_limit": _whole(-COUNT_MAX, COUNT_MAX),
    "sync": _SWITCH,
    "queue_limit": _whole(1, COUNT_MAX, none="as the tasks allow"),
    "label": Rule(allowed="text that is not empty", accepts=_is_text),
    "catch_up": _SWITCH,
    "redis": _optional(
        "a dict of redis-py's options, or a URL", _or(_is_mapping, _is_text), secret=True
    ),
    "django_redis": _optional("an alias of CACHES", _is_text),
    "disque_nodes": _optional("a list of 'host:port', not empty", _is_nodes, secret=True),
    "disque_auth": _optional("text that is not empty", _is_text, secret=True),
    "disque_fastack": _SWITCH,
    "iron_mq": _optional(_OPTIONS, _is_mapping, secret=True),
    "sqs": _optional(_OPTIONS, _is_mapping, secret=True),
    "orm": _optional("an alias of DATABASES", _is_text),
    "orm_notify": _SWITCH,
    "mongo": _optional(
        "a dict of MongoClient's options, or a URI (mongodb://...)",
        _or(_is_mapping, _is_mongo_uri),
        secret=True,
    ),
    "mongo_db": _optional("text that is not empty", _is_text, none="the connection's own"),
    "broker_class": _optional("the dotted path of a Broker subclass", is_dotted_path),
    "bulk": _whole(1, COUNT_MAX, none="as many as the cluster has room for"),
    "poll": _seconds(),
    "cache": Rule(allowed="an alias of CACHES", accepts=_is_text),
    "cached": Rule(
        allowed=f"True, False, or a number of seconds above 0, up to {SECONDS_MAX}",
        accepts=_or(_is_bool, _is_seconds),
    ),
    "scheduler": _SWITCH,
    "rollbar": Rule(
        allowed=f"{_OPTIONS}, 'access_token' among them", accepts=_is_rollbar, secret=True
    ),
    "cpu_affinity": _whole(0, COUNT_MAX),
    "log_level": Rule(allowed=f"one of {', '.join(LOG_LEVELS)}", accepts=_is_log_level),
    "ack_failures": _SWITCH,
    # The number of deliveries is kept in a small column beside each result.
    "max_attempts": _whole(1, 10_000),
    "guard_cycle": _seconds(),
    "stop_timeout": _seconds(none="as long as it takes"),
    "time_zone": _optional("the name of a time zone", _is_text, none="TIME_ZONE"),
    "max_rss": _whole(1, COUNT_MAX, none="no limit"),
    "error_reporter": Rule(
        allowed="a dict of 'rollbar' (with its 'access_token'), 'sentry' or dotted paths, each with "
        "a dict of its options; or one dotted path",
        accepts=_are_reporters,
        secret=True,
    ),
    "on_commit": _SWITCH,
    "encrypt": _SWITCH,
    "max_payload": _whole(1_024, COUNT_MAX),
}
"""Every key of Q_CLUSTER: there is a field of `djq.core.config.Config` for each."""
