"""Forwards writes from a reader to the node that writes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import MiddlewareNotUsed
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from . import conf, proxy
from .middleware import COOKIE, MAX_AGE, SALT, UNKNOWN
from .outgoing import BadBody
from .replicas import database, in_tests
from .waits import Waits

#: Marks a request that a node has forwarded.
FORWARDED = "X-Litestream-Forwarded"
SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
RETRY_AFTER = 5
#: The attribute of a request that was sent and has no response: why.
LOST = "litestream_lost"

logger = logging.getLogger(__name__)


class ForwardWritesMiddleware:
    """Makes a node whose database `default` is a replica accept every request.

    Requests that can write (all but GET, HEAD, OPTIONS and TRACE) are sent to the node at `primary_url`, by default
    `LITESTREAM["primary_url"]`, with their method, path, headers and body. Its response is returned once the replica has the write, or
    after `LITESTREAM["forward_wait_seconds"]`. A later request of the same browser is answered by this node if its replica has the
    last write of this browser in time, otherwise by the primary. Both need `TxidMiddleware` on the primary, and one `SECRET_KEY`.

    It must be the first middleware. Without `primary_url` it does nothing: this node is the primary.
    """

    def __init__(self, get_response: Callable[..., Any], primary_url: str | None = None) -> None:
        url = primary_url or conf.primary_url()
        if url is None:
            raise MiddlewareNotUsed("this node is the primary")
        self.get_response = get_response
        if not in_tests():
            database(conf.PRIMARY)
        self.primary = proxy.Primary(url, conf.forward_timeout())
        self._waits = Waits(conf.PRIMARY, conf.forward_wait())

    def __call__(self, request: Any) -> HttpResponseBase:
        if FORWARDED in request.headers:
            logger.warning("A request was forwarded to this node, which is not the primary: it forwards writes to %s", self.primary.url)
            return self.failed(request, 508, "this node is not the primary")
        if request.method not in SAFE:
            return self._write(request)
        if not self._can_read(request):
            try:
                return self._send(request)
            except BadBody as error:
                return self.failed(request, error.status, str(error))
            except proxy.Unreachable as error:
                logger.warning("A state without the last write of the reader is returned, because %s", error)
        response: HttpResponseBase = self.get_response(request)
        return response

    def process_exception(self, request: Any, exception: Exception) -> HttpResponseBase | None:
        """Forwards a request whose view has tried to write to the replica."""
        is_write = isinstance(exception, OperationalError) and "readonly database" in str(exception)
        return self._write(request) if is_write and request.method in SAFE else None

    def failed(self, request: Any, status: int, reason: str) -> HttpResponseBase:
        """Returns the response to a request that could not be forwarded: JSON to a client of JSON, otherwise text.

        `reason` is for any client. The log has the URL of the primary, and what went wrong.
        """
        wants_json = "json" in request.content_type or "json" in request.headers.get("Accept", "")
        response = JsonResponse({"error": reason}, status=status) if wants_json else HttpResponse(reason, "text/plain", status)
        if status >= 500:
            response.headers["Retry-After"] = str(RETRY_AFTER)
        return response

    def _write(self, request: Any) -> HttpResponseBase:
        try:
            response = self._send(request)
        except BadBody as error:
            return self.failed(request, error.status, str(error))
        except proxy.NotSent as error:
            logger.warning("A write was not forwarded, because %s", error)
            return self.failed(request, 503, "this node only reads, and the primary cannot be reached; nothing was written")
        except proxy.NoResponse as error:
            logger.warning("It is unknown whether a forwarded write was done, because %s", error)
            return self.failed(request, 504, "this node only reads, and the primary does not answer; the write may have been done")
        txid = _written(response)
        if txid is not None and not self._waits.reaches(txid):
            logger.warning("The replica does not have the forwarded write of TXID %d yet", txid)
        return response

    def _send(self, request: Any) -> HttpResponseBase:
        """Sends a request, unless the primary may have received it before."""
        lost: str | None = getattr(request, LOST, None)
        if lost is not None:
            raise proxy.NoResponse(lost)
        try:
            return self.primary.send(request, {FORWARDED: "1"})
        except proxy.NoResponse as error:
            setattr(request, LOST, str(error))
            raise

    def _can_read(self, request: Any) -> bool:
        """Whether the replica has the last write of this browser, or gets it in time."""
        value = _token(request)
        if value.isdecimal():
            return self._waits.reaches(int(value))
        return bool(value != UNKNOWN)


def _token(request: Any) -> str:
    """Returns the value of the signed cookie of `TxidMiddleware`; empty if there is none."""
    return str(request.get_signed_cookie(COOKIE, default="", salt=SALT, max_age=MAX_AGE))


def _written(response: HttpResponseBase) -> int | None:
    """Returns the TXID in the cookie that `TxidMiddleware` of the primary has set."""
    morsel = response.cookies.get(COOKIE)
    if morsel is None:
        return None
    answered = HttpRequest()
    answered.COOKIES[COOKIE] = morsel.value
    value = _token(answered)
    if not value:
        logger.warning("The primary signs cookies with another SECRET_KEY, so clients do not read their own writes here")
    return int(value) if value.isdecimal() else None
