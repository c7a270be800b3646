"""The one reader of Django's settings: what Q_CLUSTER says, and signing with SECRET_KEY.

Nothing is read before it is asked for. What was read is kept until Django says that a setting has
changed, so `override_settings` works; keys are looked up at each signature.
"""

from __future__ import annotations

import functools
import os
import zoneinfo
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.core.signing import BadSignature, Signer
from django.dispatch import receiver

from djq.core import config as core
from djq.core.config import Config, Problem
from djq.core.schedules import Custom
from djq.exceptions import BadPackage, ConfigError, ScheduleRefused


def get_config() -> Config:
    """Give the settings of this process.

    Raises:
        ConfigError: Q_CLUSTER has errors; the message lists all of them.
    """
    config, found = _read()
    if config is None:
        errors = [problem for problem in found if not problem.warning]
        lines = [f"  {problem.message} {problem.hint}" for problem in errors]
        raise ConfigError("\n".join(["The settings of djq have to be changed:", *lines]))
    return config


def find_config() -> Config | None:
    """Give the settings of this process; None when they have errors."""
    return _read()[0]


def problems() -> Sequence[Problem]:
    """Everything that is wrong or doubtful in Q_CLUSTER, errors and warnings."""
    return _read()[1]


@functools.cache
def _read() -> tuple[Config | None, tuple[Problem, ...]]:
    raw = getattr(settings, "Q_CLUSTER", {})
    # TIME_ZONE may be None: Django then leaves the zone to the host.
    zone = settings.TIME_ZONE or "UTC"
    config, found = core.parse(raw, cpu_count=os.cpu_count() or 1, time_zone=zone)
    if config is not None and not _is_zone(config.time_zone):
        wrong = Problem(
            key="time_zone",
            code="E005",
            message=f"Q_CLUSTER['time_zone'] is {core.shown(config.time_zone)}, "
            "which is no time zone of this machine.",
            hint="Write a name such as 'Europe/Berlin' or 'UTC'; "
            "where zones are missing altogether, install the package tzdata.",
        )
        return None, (*found, wrong)
    return config, found


def get_zone(name: str) -> zoneinfo.ZoneInfo:
    """Find a time zone by its name.

    Raises:
        ScheduleRefused: This machine knows none of that name.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        # A name such as '../x' is a ValueError, one such as 'Europe' (a directory) an OSError.
        raise ScheduleRefused(
            f"{name!r:.100} is no time zone of this machine; write a name such as 'Europe/Berlin'"
        ) from error


def schedule_defaults() -> Custom:
    """What the settings say where a schedule says nothing."""
    config = get_config()
    return Custom(catch_up=config.catch_up, time_zone=config.time_zone, cached=config.cached)


def _is_zone(name: str) -> bool:
    try:
        get_zone(name)
    except ScheduleRefused:
        return False
    return True


@receiver(setting_changed, dispatch_uid="djq.conf")
def _forget(*, setting: str, **_: Any) -> None:
    if setting in {"Q_CLUSTER", "TIME_ZONE"}:
        _read.cache_clear()


class SecretKeySigner:
    """Signs text with SECRET_KEY, and knows text that a key of SECRET_KEY_FALLBACKS signed."""

    def __init__(self, salt: str) -> None:
        self._salt = salt
        self._made: tuple[object, tuple[object, ...], Signer] | None = None

    def sign(self, text: str) -> str:
        """Give the text with its signature behind it."""
        return self._signer().sign(text)

    def unsign(self, text: str) -> str:
        """Give the text without its signature.

        Raises:
            BadPackage: The signature is missing or wrong.
        """
        try:
            return self._signer().unsign(text)
        except (BadSignature, UnicodeError) as error:
            # A lone surrogate cannot be encoded, so nobody can have signed it.
            raise BadPackage(
                "The signature is missing or wrong: the package was cut or changed, or comes from "
                "a project with another SECRET_KEY or another Q_CLUSTER['name']. "
                "After a change of SECRET_KEY, keep the old one in SECRET_KEY_FALLBACKS."
            ) from error

    def _signer(self) -> Signer:
        # Making a signer costs as much as signing, so it is kept until the keys change.
        key, fallbacks = settings.SECRET_KEY, tuple(settings.SECRET_KEY_FALLBACKS)
        made = self._made
        if made is None or made[0] != key or made[1] != fallbacks:
            signer = Signer(
                key=key, fallback_keys=list(fallbacks), salt=self._salt, algorithm="sha256"
            )
            made = self._made = (key, fallbacks, signer)
        return made[2]


@functools.cache
def make_signer(purpose: str, name: str) -> SecretKeySigner:
    """Make the signer for one purpose of the cluster `name`: what one signs, no other accepts."""
    return SecretKeySigner(f"djq:{purpose}:{name}")
