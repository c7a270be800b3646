"""How the admin says how long something takes: short, and no more exactly than anybody wants to know."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from djq.core.tally import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS


def lasting(seconds: float) -> str:
    """A length of time, as `12 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`; a negative one is 0 s."""
    whole = max(int(seconds), 0)
    if whole < MINUTE_SECONDS:
        return _("%(seconds)d s") % {"seconds": whole}
    if whole < HOUR_SECONDS:
        minutes, left = divmod(whole, MINUTE_SECONDS)
        return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": left}
    if whole < DAY_SECONDS:
        hours, left = divmod(whole, HOUR_SECONDS)
        return _("%(hours)d h %(minutes)d min") % {
            "hours": hours,
            "minutes": left // MINUTE_SECONDS,
        }
    days, left = divmod(whole, DAY_SECONDS)
    return _("%(days)d d %(hours)d h") % {"days": days, "hours": left // HOUR_SECONDS}


def ago(moment: datetime, now: datetime) -> str:
    """How long ago it was."""
    return _("%(time)s ago") % {"time": lasting((now - moment).total_seconds())}


def coming(moment: datetime, now: datetime) -> str:
    """In what time it comes, or since when it is due."""
    seconds = (moment - now).total_seconds()
    if seconds < 0:
        return _("due for %(time)s") % {"time": lasting(-seconds)}
    return _("in %(time)s") % {"time": lasting(seconds)}
