"""Times as Django understands them."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timezone, tzinfo
from typing import Union
from zoneinfo import ZoneInfo

from django.utils.timezone import get_default_timezone

Moment = Union[datetime, date, str]

_LOCAL = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?")


def as_text(moment: Moment, tz: tzinfo | str | None = None) -> str:
    """Returns a time as the library reads it.

    A time without a time zone is one of `tz`, by default of `TIME_ZONE`. A date is its start. Texts that are no times of the form
    `YYYY-MM-DD HH:MM:SS`, such as `1 hour ago`, are returned as they are.
    """
    if isinstance(moment, str):
        local = _LOCAL.fullmatch(moment.strip())
        if local is None:
            return moment
        moment = _parsed(*local.groups())
    elif not isinstance(moment, datetime):
        moment = datetime.combine(moment, time.min)
    if moment.utcoffset() is None:
        moment = moment.replace(tzinfo=_zone(tz))
    return moment.astimezone(timezone.utc).isoformat()


def _parsed(day: str, minutes: str | None, seconds: str | None, fraction: str | None) -> datetime:
    text = f"{day} {minutes or '00:00'}:{seconds or '00'}.{(fraction or '')[:6]:0<6}"
    return datetime.fromisoformat(text)


def _zone(tz: tzinfo | str | None) -> tzinfo:
    if tz is None:
        return get_default_timezone()
    return ZoneInfo(tz) if isinstance(tz, str) else tz
