"""The masked form of a URL: as `src/store/masked.rs`, so that every part of the project shows the same.

It shows the scheme, user, host and path, and the values of parameters that are known to be harmless. Everything else is replaced by `***`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

MASK = "***"
#: Parameters whose values are not secret, in lower case and without hyphens.
HARMLESS = frozenset(
    (
        "anonymous",
        "clientcert",
        "concurrency",
        "concurrentwrites",
        "creds",
        "endpoint",
        "forcepathstyle",
        "insecurehostkey",
        "maxreconnects",
        "partsize",
        "reconnectwait",
        "region",
        "requirecontentmd5",
        "rootcas",
        "signpayload",
        "skipverify",
        "ssecustomeralgorithm",
        "storageclass",
        "timeout",
        "tls",
    )
)
_NAME = re.compile(r"[A-Za-z_-]{1,24}")
_USER = re.compile(r"(?:[^\W_]|[._+-]){0,64}")
#: Schemes of which a user without a password is often a token.
_TOKENS = ("nats://", "http://", "https://")
_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def masked(url: str) -> str:
    """Returns a URL without its secrets. It may be any text."""
    rest, _, fragment = url.partition("#")
    base, question, query = rest.partition("?")
    shown = _without_password(base, "@" in url[len(base) :])
    if question:
        shown += "?" + "&".join(map(_parameter, query.split("&")))
    if fragment:
        shown += f"#{MASK}"
    return _BREAKS.sub("\ufffd", shown)


def _parameter(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not pair:
        return ""
    if equals and unquote(name).replace("-", "").lower() in HARMLESS and "@" not in unquote(value):
        return pair
    return f"{name}={MASK}" if equals and _NAME.fullmatch(unquote(name)) else MASK


def _without_password(base: str, at_follows: bool) -> str:
    """Masks a URL without its query. A password that contains an unencoded `?` or `#` extends to the `@` that follows."""
    before, separator, after = base.partition("://")
    scheme, rest = (before + separator, after) if separator else ("", base)
    host = rest.partition("/")[0]
    at = host.rfind("@")
    if at < 0 and ":" in host:
        # A password with an unencoded slash ends at the last `@`.
        at = rest.rfind("@")
    if at >= 0:
        return scheme + _user(scheme, rest[:at]) + rest[at:]
    return f"{scheme}{rest.partition(':')[0]}:{MASK}" if at_follows and ":" in host else base


def _user(scheme: str, text: str) -> str:
    user, colon, _ = text.partition(":")
    if _USER.fullmatch(user) and (colon or scheme.lower() not in _TOKENS):
        return f"{user}:{MASK}" if colon else user
    return MASK
