"""Prints the state of the replicas."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from litestream_vfs_rs.django import get_vfs_status, replicas

LAGGING = 60
STALE = 300


class Command(BaseCommand):
    help = "Prints the transaction, the lag and the health of each replica."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("alias", nargs="*", help="a replica (default: all in DATABASES)")
        parser.add_argument("--json", action="store_true", help="print one JSON object for each replica")
        parser.add_argument("--check", action="store_true", help="end with status 1 unless all replicas are healthy")

    def handle(self, *args: Any, **options: Any) -> None:
        found = [get_vfs_status(alias) for alias in options["alias"] or replicas.aliases()]
        if options["json"]:
            for status in found:
                self.stdout.write(json.dumps({**status, "health": _health(status)}, default=datetime.isoformat, ensure_ascii=False))
        elif found:
            self.stdout.write(f"Found {len(found)} VFS database(s):")
            for status in found:
                self._print(status, options["verbosity"])
        else:
            self.stdout.write(self.style.WARNING('No VFS databases: LITESTREAM["vfs"] has no replicas'))
        unhealthy = [status["alias"] for status in found if _health(status) != "healthy"]
        if options["check"] and unhealthy:
            raise CommandError(f"not healthy: {', '.join(unhealthy)}")

    def _print(self, status: dict[str, Any], verbosity: int) -> None:
        label, style = {
            "healthy": ("✓ Healthy", self.style.SUCCESS),
            "lagging": ("⚠ Lagging", self.style.WARNING),
            "stale": ("✗ Stale", self.style.ERROR),
            "unknown": ("? Unknown", self.style.WARNING),
        }[_health(status)]
        txid = status["txid"]
        self.stdout.write(f"\n{status['alias']}:")
        self.stdout.write(f"  Replica URL: {status['replica_url']}")
        self.stdout.write(f"  Transaction ID: {'unavailable' if txid is None else txid}")
        self.stdout.write(f"  Replication Lag: {_seconds(status['lag_seconds'])}")
        if verbosity > 1:
            self.stdout.write(f"  Transaction Age: {_seconds(status['age_seconds'])}")
        self.stdout.write(f"  Status: {style(label)}")
        if status["error"]:
            self.stdout.write(f"  Error: {status['error']}")


def _health(status: dict[str, Any]) -> str:
    lag = status["lag_seconds"]
    if lag is None:
        return "unknown"
    if lag < LAGGING:
        return "healthy"
    return "lagging" if lag <= STALE else "stale"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "unavailable"
    return f"{seconds:.1f}s" if seconds < LAGGING else f"{seconds:.1f}s ({seconds / 60:.1f}m)"
