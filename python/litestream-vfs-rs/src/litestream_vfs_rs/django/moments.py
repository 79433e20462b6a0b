"""Times as Django understands them."""

from __future__ import annotations

import re
from datetime import MINYEAR, date, datetime, time, timezone, tzinfo
from typing import Union
from zoneinfo import ZoneInfo

from django.utils.timezone import get_default_timezone

Moment = Union[datetime, date, str]

_LOCAL = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?")


def as_text(moment: Moment, tz: tzinfo | str | None = None) -> str:
    """Returns a time as the library reads it.

    A time without a time zone is one of `tz`, by default of `TIME_ZONE`. A date is its start. Texts that are no times of the form
    `YYYY-MM-DD HH:MM:SS`, such as `1 hour ago`, are returned as they are. So are times that do not exist, of which the library says so.
    """
    if isinstance(moment, str):
        parsed = _parsed(moment)
        return moment if parsed is None else _in_utc(parsed, tz).isoformat()
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time.min)
    return _in_utc(moment, tz).isoformat()


def _parsed(text: str) -> datetime | None:
    local = _LOCAL.fullmatch(text.strip())
    if local is None:
        return None
    day, minutes, seconds, fraction = local.groups(default="")
    try:
        return datetime.fromisoformat(f"{day} {minutes or '00:00'}:{seconds or '00'}.{fraction[:6]:0<6}")
    except ValueError:
        return None


def _in_utc(moment: datetime, tz: tzinfo | str | None) -> datetime:
    """Returns a time in UTC: the first or the last one that there is, if its year would be another one there than 1 to 9999."""
    if moment.utcoffset() is None:
        moment = moment.replace(tzinfo=_zone(tz))
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:
        nearest = datetime.min if moment.year == MINYEAR else datetime.max
        return nearest.replace(tzinfo=timezone.utc)


def _zone(tz: tzinfo | str | None) -> tzinfo:
    if tz is None:
        return get_default_timezone()
    return ZoneInfo(tz) if isinstance(tz, str) else tz
