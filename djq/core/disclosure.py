"""What may be shown of the settings, and of a driver's words: never a credential.

Only what is known to be harmless is shown: settings that hold no options, and options whose names stand
in `HARMLESS`. Everything else is `***`, so what a library calls its next secret is hidden before anybody
has heard of it. Of the options of somebody's own error reporter no value is shown at all.

Of a URL the login goes, and what is in its query goes by the same names. A password with a `/`, `?` or
`#` in it is wrong in a URL, and stands in some all the same: so all before the last `@` is the login, and
what should be hosts and is not is hidden too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from djq.core.config import Config
from djq.core.rules import RULES

__all__ = ["HARMLESS", "HIDDEN", "disclosed", "without_logins"]

HIDDEN = "***"

# In this order: djq's own; where a server is; how it is spoken to; MongoDB's, in small letters since its
# library does not mind; the reporters'.
_NAMES = """
url receipts cluster startup_nodes sentinels service_name sentinel_kwargs fifo message_group s3_bucket
s3_endpoint_url receive_message_wait_time_seconds max_message_bytes http_timeout lease_seconds_min
message_expiration

host port db path unix_socket_path protocol api_version cloud path_prefix aws_region region_name
endpoint_url dsn endpoint

socket_timeout socket_connect_timeout socket_keepalive health_check_interval timeout connect_timeout
read_timeout encoding encoding_errors charset errors decode_responses max_connections client_name
retry_on_timeout use_ssl verify ssl ssl_cert_reqs ssl_check_hostname ssl_ca_certs ssl_ca_path
ssl_certfile ssl_keyfile ssl_min_version

appname authsource authmechanism compressors connect connecttimeoutms directconnection
heartbeatfrequencyms journal loadbalanced localthresholdms maxconnecting maxidletimems maxpoolsize
maxstalenessseconds minpoolsize readconcernlevel readpreference replicaset retryreads retrywrites
serverselectiontimeoutms sockettimeoutms srvmaxhosts srvservicename timeoutms tls
tlsallowinvalidcertificates tlsallowinvalidhostnames tlscafile tlscertificatekeyfile tlscrlfile
tlsinsecure tz_aware uuidrepresentation w waitqueuetimeoutms wtimeoutms

environment release branch code_version root enabled locals debug sample_rate traces_sample_rate
server_name max_breadcrumbs include_local_variables send_default_pii shutdown_timeout verify_https
"""

HARMLESS = frozenset(_NAMES.split())
"""Names of options whose values are no secrets, in small letters."""

OPEN_REPORTERS = frozenset({"rollbar", "sentry"})
"""Error reporters whose options have names that are known here."""

_HOST = re.compile(r"(\[[\w:.%]+\]|[\w.-]+)(:\d{1,5})?", re.ASCII)
_LOGIN = re.compile(r"([A-Za-z][\w+.-]*://)\S*@")


def disclosed(config: Config) -> dict[str, Any]:
    """Give every setting as it is used, by its key, with `***` in the place of what may be secret.

    The values are None, numbers, text, lists and dicts.
    """
    return {key: _setting(key, getattr(config, key)) for key in sorted(RULES)}


def without_logins(text: str) -> str:
    """Give text, a driver's words for example, without the logins of URLs in it."""
    return _LOGIN.sub(rf"\1{HIDDEN}@", text)


def _setting(key: str, value: Any) -> Any:
    if not RULES[key].secret:
        return _url(value) if isinstance(value, str) and "://" in value else value
    if key == "error_reporter" and not isinstance(value, str):
        return {name: _reporter(name, options) for name, options in value.items()}
    if key == "disque_nodes" and value is not None:
        return [_hosts(node) for node in value]
    if isinstance(value, Mapping):
        return _options(value)
    if value is None or key == "error_reporter":
        return value  # nothing, or the dotted path of a reporter
    return _url(value) if key != "disque_auth" else HIDDEN


def _reporter(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return _options(options) if name in OPEN_REPORTERS else dict.fromkeys(options, HIDDEN)


def _options(options: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _option(str(name), value) for name, value in options.items()}


def _option(name: str, value: Any) -> Any:
    if name.lower() not in HARMLESS:
        return HIDDEN
    return _value(value)


def _value(value: Any) -> Any:
    """Show the value of a harmless option, as far as it is plain."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return _options(value)
    if isinstance(value, list | tuple):
        return [_value(each) for each in value]
    if not isinstance(value, str):
        return HIDDEN
    if "://" in value:
        return _url(value)
    return _hosts(value) if "@" in value else value


def _url(text: str) -> str:
    """Show a URL without its login, and without what its query may hide."""
    scheme, colon, rest = text.partition("://")
    if not colon:
        return HIDDEN
    login, at, rest = rest.rpartition("@")
    rest, hash_, _ = rest.partition("#")
    rest, mark, query = rest.partition("?")
    hosts, slash, path = rest.partition("/")
    pieces = [_piece(piece) for piece in query.split("&")] if mark else []
    place = f"{_hosts(login + at + hosts)}{slash}{path}"
    return f"{scheme}://{place}{mark}{'&'.join(pieces)}{hash_ and hash_ + HIDDEN}"


def _piece(piece: str) -> str:
    name, equals, value = piece.partition("=")
    return f"{name}={_option(name, value)}" if equals else HIDDEN


def _hosts(text: str) -> str:
    """Show hosts, with their ports and commas between them, without a login before them."""
    _, at, hosts = text.rpartition("@")
    are_hosts = not hosts or all(_HOST.fullmatch(host) for host in hosts.split(","))
    return f"{HIDDEN + at if at else ''}{hosts if are_hosts else HIDDEN}"
