"""From the setting `sqs` to a client of boto3 that never repeats a call.

boto3 says a call again, four times, when it gets no answer: a task would be queued twice. Here nothing is
repeated; the cluster knows what may be. Credentials and region may be left out, as on an instance with a
role: then boto3 looks for them where it always does, when the first client is made.

Nothing connects before a client is used. An `Account` can be pickled, and each process makes clients of its
own from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
from boto3 import Session
from boto3.exceptions import Boto3Error
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError

from djq.brokers.sqs import MESSAGE_BYTES, WAIT_SECONDS, SqsBroker
from djq.brokers.sqs_large import LargePackages
from djq.brokers.sqs_queue import queue_name
from djq.core.config import Config
from djq.exceptions import ConfigError
from djq.ports import Broker, Clock

PATIENCE_SECONDS = 5
"""How long a server may be silent, unless the settings say otherwise."""
RETRY_SECONDS_MAX = 43_200
MESSAGE_BYTES_MAX = 1_048_576
WAIT_SECONDS_MAX = 20

_SESSION = {
    "aws_region": "region_name",
    "region_name": "region_name",
    "aws_access_key_id": "aws_access_key_id",
    "aws_secret_access_key": "aws_secret_access_key",
    "aws_session_token": "aws_session_token",
    "profile_name": "profile_name",
}
"""Keys that are arguments of boto3's Session."""
_TEXTS = (*_SESSION, "endpoint_url", "s3_endpoint_url", "s3_bucket", "message_group")
_NUMBERS = {
    "receive_message_wait_time_seconds": (0, WAIT_SECONDS_MAX),
    "max_message_bytes": (1_024, MESSAGE_BYTES_MAX),
    "connect_timeout": (1, 60),
    "read_timeout": (1, 60),
}
_SWITCHES = ("fifo", "use_ssl")
_KEYS = (*_TEXTS, *_NUMBERS, *_SWITCHES, "verify")
_REGION = re.compile(r"(?![0-9]+$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}|arn:[A-Za-z0-9:/._-]+")
_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?|[0-9a-fA-F:.]+")
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo")


@attrs.frozen(kw_only=True)
class Account:
    """Where the queues are, and who asks. Call it with the name of a service for a client."""

    session: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    """Arguments of boto3's Session."""
    endpoints: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    """Addresses of services that are not where AWS has them."""
    options: Mapping[str, Any] = attrs.field(factory=dict)
    """Further arguments of each client."""
    connect_seconds: int = PATIENCE_SECONDS
    silence_seconds: int = PATIENCE_SECONDS
    """How long a server may take for an answer."""
    wait_seconds: int = 0
    """How much longer SQS may, since it is asked to wait for a package."""

    def __call__(self, service: str) -> Any:
        patience = ClientConfig(
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=self.connect_seconds,
            read_timeout=self.silence_seconds + (self.wait_seconds if service == "sqs" else 0),
            tcp_keepalive=True,
        )
        endpoint = self.endpoints.get(service)
        return Session(**self.session).client(
            service, endpoint_url=endpoint, config=patience, **self.options
        )


def make_broker(
    config: Config, list_key: str, *, clock: Clock | None, host_clock: Clock | None = None
) -> Broker:
    """Make the broker of the setting `sqs`; with a clock that stands in for the servers', it never waits.

    `host_clock` says what time it is where an answer of SQS does not.

    Raises:
        ConfigError: The setting is wrong, or SQS has no queue of this name, or no lease of this length.
    """
    given = _read(config.sqs or {})
    wait = given.get("receive_message_wait_time_seconds", WAIT_SECONDS) if clock is None else 0
    account = _account(given, wait)
    options = options_of(config, list_key, account)
    own: dict[str, Any] = {"wait_seconds": wait, "host_clock": host_clock}
    return SqsBroker(list_key, connect=account, **own, **options)


def options_of(config: Config, list_key: str, connect: Callable[[str], Any]) -> dict[str, Any]:
    """Give the arguments of a broker that the settings have, but for what the clients need.

    Raises:
        ConfigError: As `make_broker`.
    """
    given = _read(config.sqs or {})
    fifo = given.get("fifo", False) or list_key.endswith(".fifo")
    refuse_queue(queue_name(list_key, fifo=fifo), config.retry)
    if "message_group" in given and not fifo:
        raise ConfigError(
            "Q_CLUSTER['sqs']['message_group'] is for FIFO queues: set 'fifo' to True, or remove it."
        )
    bucket = given.get("s3_bucket")
    if bucket:
        _refuse_short_lease(given, config.retry)
    return {
        "retry_seconds": config.retry,
        "message_bytes": given.get("max_message_bytes", MESSAGE_BYTES),
        "fifo": fifo,
        "group": given.get("message_group"),
        "large": LargePackages(bucket=bucket, queue=list_key, connect=connect) if bucket else None,
    }


def refuse_queue(name: str, retry_seconds: float) -> None:
    """Refuse what SQS cannot have.

    Raises:
        ConfigError: There can be no queue of this name, or no lease of this length.
    """
    if not _QUEUE.fullmatch(name):
        raise ConfigError(
            f"SQS can have no queue of the name {name!r}: it takes 1 to 80 letters of a to z, digits, - and "
            "_ (and .fifo at the end). Choose another Q_CLUSTER['name'], or another name for the queue."
        )
    if retry_seconds > RETRY_SECONDS_MAX:
        raise ConfigError(
            f"Q_CLUSTER['retry'] = {retry_seconds} is more than SQS hides a message for: at most "
            f"{RETRY_SECONDS_MAX} seconds. Leases are renewed, so that a task may take longer than 'retry'."
        )


def _refuse_short_lease(given: Mapping[str, Any], retry_seconds: float) -> None:
    """Refuse leases that end while S3 is silent: one package is fetched, and then the others at once."""
    patience = ("connect_timeout", "read_timeout")
    silence = 2 * sum(given.get(key, PATIENCE_SECONDS) for key in patience)
    if retry_seconds <= silence:
        raise ConfigError(
            f"Q_CLUSTER['retry'] = {retry_seconds} is too short for the 's3_bucket' in Q_CLUSTER['sqs']: S3 "
            f"may be silent for {silence} seconds (twice 'connect_timeout' and 'read_timeout' together), and "
            f"leases would end meanwhile. Set 'retry' above {silence}, or one of these two lower."
        )


def _read(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Check it, key by key; what is None is as if it were not there."""
    given = {key: value for key, value in setting.items() if value is not None}
    for key, value in given.items():
        wrong = _wrong(key, value)
        if wrong:
            raise ConfigError(f"Q_CLUSTER['sqs'] has the key {key!r}, {wrong}.")
    if "aws_region" in given and "region_name" in given:
        raise ConfigError(
            "Q_CLUSTER['sqs'] has 'aws_region' and 'region_name'; remove one of them."
        )
    if ("aws_access_key_id" in given) != ("aws_secret_access_key" in given):
        raise ConfigError(
            "Q_CLUSTER['sqs'] needs 'aws_access_key_id' and 'aws_secret_access_key' together; without both, "
            "boto3 looks for credentials itself: in the environment, in ~/.aws, at the instance's role."
        )
    if "s3_endpoint_url" in given and "s3_bucket" not in given:
        raise ConfigError(
            "Q_CLUSTER['sqs'] has 's3_endpoint_url' and no 's3_bucket'; name the bucket, or remove it."
        )
    return given


def _wrong(key: str, value: object) -> str:
    """Say what is wrong with one key; the value may be a secret. Empty: nothing is."""
    if key not in _KEYS:
        return f"which is none of {', '.join(sorted(_KEYS))}"
    if key in _NUMBERS:
        low, high = _NUMBERS[key]
        right = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return "" if right else f"which has to be a whole number from {low} to {high}"
    if key in _SWITCHES:
        return "" if isinstance(value, bool) else "which has to be True or False"
    if key == "verify":
        right = isinstance(value, bool) or (isinstance(value, str) and Path(value).exists())
        return "" if right else "which has to be True, False, or the path of a file of certificates"
    if not isinstance(value, str) or not value.strip():
        return "which has to be text, not empty"
    return _misshapen(key, value)


def _misshapen(key: str, text: str) -> str:
    """Say what is wrong with the form of a text; an address may have a password in it."""
    if key in ("endpoint_url", "s3_endpoint_url") and not _is_address(text):
        return (
            "which has to be an address with its scheme, and a port from 1 to 65535 if there is one: write "
            "'http://localhost:4566', say"
        )
    if key in ("aws_region", "region_name") and not _REGION.fullmatch(text):
        return (
            "which has to be the name of a region, of letters, digits and -: write 'eu-west-1', say"
        )
    if key == "s3_bucket" and not _BUCKET.fullmatch(text):
        return (
            "which has to be the name of a bucket, 3 or more of letters, digits, -, _ and ., or the ARN of "
            "an access point"
        )
    return ""


def _is_address(text: str) -> bool:
    """Whether boto3 can make a client of this address."""
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        return False
    whole = not re.search(r"\s", text) and parts.scheme in ("http", "https")
    return whole and port != 0 and _HOST.fullmatch(host) is not None


def _account(given: Mapping[str, Any], wait_seconds: int) -> Account:
    account = Account(
        session={name: given[key] for key, name in _SESSION.items() if key in given},
        endpoints={
            service: given[key]
            for service, key in (("sqs", "endpoint_url"), ("s3", "s3_endpoint_url"))
            if key in given
        },
        options={key: given[key] for key in ("use_ssl", "verify") if key in given},
        connect_seconds=given.get("connect_timeout", PATIENCE_SECONDS),
        silence_seconds=given.get("read_timeout", PATIENCE_SECONDS),
        wait_seconds=wait_seconds,
    )
    if "region_name" not in account.session or "profile_name" in account.session:
        _refuse_no_region(account.session)
    return account


def _refuse_no_region(session: Mapping[str, str]) -> None:
    """Refuse settings that name no region where boto3 knows of none either; it reads files alone."""
    try:
        region = Session(**session).region_name
    except (BotoCoreError, Boto3Error, OSError) as error:
        raise ConfigError(f"Q_CLUSTER['sqs'] is wrong: {type(error).__name__}: {error}") from None
    if region is None:
        raise ConfigError(
            "Q_CLUSTER['sqs'] names no region, and boto3 knows of none: write 'aws_region': 'eu-west-1', "
            "say, or set AWS_DEFAULT_REGION."
        )
    if not _REGION.fullmatch(region):
        raise ConfigError(
            f"Q_CLUSTER['sqs'] names no region, and that of boto3's own settings is {region!r}, which is "
            "none: write 'aws_region': 'eu-west-1', say, or set AWS_DEFAULT_REGION."
        )
