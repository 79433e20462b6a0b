"""Django with a replica: a context manager sets a connection to another time and back."""

import sqlite3
from contextlib import contextmanager

import django
from django.conf import settings
from django.db import connections, models
from host import ARGUMENTS, equal, load, refuses, uri

url, then = ARGUMENTS
load(sqlite3.connect(":memory:"))
settings.configure(
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        "replica": {"ENGINE": "django.db.backends.sqlite3", "NAME": uri(url)},
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DEBUG=True,  # Django then records every query, and reads the names of its columns
)
django.setup()


class Transfer(models.Model):
    number = models.IntegerField(primary_key=True)
    source = models.IntegerField()

    class Meta:
        app_label = "bank"
        managed = False
        db_table = "ledger"


@contextmanager
def time_travel(database, moment):
    with connections[database].cursor() as cursor:
        cursor.execute(f"PRAGMA litestream_time = '{moment}'")
    try:
        yield
    finally:
        with connections[database].cursor() as cursor:
            cursor.execute("PRAGMA litestream_time = LATEST")


def last():
    return Transfer.objects.using("replica").order_by("-number").first().number


with connections["replica"].cursor() as cursor:
    cursor.execute("SELECT time FROM litestream_history WHERE txid = %s", [then])
    (moment,) = cursor.fetchone()
now = last()
for _ in range(3):
    with time_travel("replica", moment):
        equal(last(), now - 4)
        equal(Transfer.objects.using("replica").filter(number__gt=now - 4).count(), 0)
    equal(last(), now)
    with time_travel("replica", "now"):
        equal(last(), now)


def long_ago():
    with time_travel("replica", "2000-01-01"):
        pass


refuses("the earliest state is of", long_ago)
equal(last(), now)
equal(connections["default"].cursor().execute("SELECT 1").fetchall(), [(1,)])
print("ok")
