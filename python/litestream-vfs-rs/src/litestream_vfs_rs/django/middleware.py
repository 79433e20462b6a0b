"""Lets whoever has written read what they have written."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings

from . import conf
from .control import LitestreamError
from .reader import Reader, notice_writes, reading
from .replicas import in_tests
from .tokens import primary_txid

COOKIE = "litestream_txid"
SALT = "litestream_vfs_rs.django.txid"
#: How long a browser keeps the TXID.
MAX_AGE = 24 * 60 * 60
#: The value of the cookie if the TXID is not known.
UNKNOWN = "primary"

logger = logging.getLogger(__name__)


class TxidMiddleware:
    """Keeps the TXID of the last write of a browser in a signed cookie.

    It must come before middleware that writes after the view, such as `SessionMiddleware`. In each request, `LitestreamRouter` reads only
    from replicas with that TXID, or from the primary. After a write in the same request, it reads from the primary.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response
        notice_writes()
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if iscoroutinefunction(self):
            return self._acall(request)
        reader = _reader(request)
        with reading(reader):
            response = self.get_response(request)
        if reader.wrote and not in_tests():
            _remember(response, _txid())
        return response

    async def _acall(self, request: Any) -> Any:
        reader = _reader(request)
        with reading(reader):
            response = await self.get_response(request)
        if reader.wrote and not in_tests():
            _remember(response, await sync_to_async(_txid)())
        return response


def _reader(request: Any) -> Reader:
    value = request.get_signed_cookie(COOKIE, default="", salt=SALT, max_age=MAX_AGE)
    return Reader(txid=int(value)) if value.isdecimal() else Reader(pinned=value == UNKNOWN)


def _txid() -> int | None:
    try:
        return primary_txid()
    except LitestreamError as error:
        logger.warning("A browser that has written reads from the primary for %s seconds, because %s", conf.max_lag(), error)
        return None


def _remember(response: Any, txid: int | None) -> None:
    response.set_signed_cookie(
        COOKIE,
        UNKNOWN if txid is None else txid,
        salt=SALT,
        max_age=MAX_AGE if txid else max(1, int(conf.max_lag())),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
