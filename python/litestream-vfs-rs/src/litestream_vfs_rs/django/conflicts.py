"""Transactions that are run again after a conflict with another writer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.db import DEFAULT_DB_ALIAS, transaction

from litestream_vfs_rs._transactions import TRIES, Run, retried


def retry_on_conflict(function: Callable[..., Any] | None = None, *, using: str | None = None, tries: int = TRIES) -> Any:
    """Runs the decorated function or view in `transaction.atomic()`, after a conflict again, up to `tries` times in all.

    What the function does besides the database is done again as well; functions of `transaction.on_commit()` are called for the run that
    commits. Any other error, and the conflict of the last try, is raised. An error of a function of `on_commit()`, a commit whose outcome is
    unknown, and a conflict of a commit to several attached databases are such errors, so nothing is committed twice.

    The transaction must be the outermost one, otherwise the call is a `RuntimeError`. With `ATOMIC_REQUESTS`, a decorated view is not put
    into another transaction.
    """
    if function is None:
        return functools.partial(retry_on_conflict, using=using, tries=tries)
    if iscoroutinefunction(function):
        raise TypeError(f"{function!r} is a coroutine function, and transactions are sync: decorate a function, and call it with sync_to_async")

    @functools.wraps(function)
    def retrying(*arguments: Any, **options: Any) -> Any:
        def run_once(run: Run) -> Any:
            def committed() -> None:
                run.final = True

            with transaction.atomic(using=using, durable=True):
                # The first of the functions that Django calls after the commit: a conflict in another one is none of this transaction.
                transaction.on_commit(committed, using=using)
                result = function(*arguments, **options)
                connection = transaction.get_connection(using)
                if connection.vendor == "sqlite":
                    run.commits(connection.connection)
                return result

        return retried(run_once, tries)

    return transaction.non_atomic_requests(using or DEFAULT_DB_ALIAS)(retrying)
