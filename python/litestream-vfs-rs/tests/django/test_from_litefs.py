"""The settings in docs/from-litefs.md."""

from __future__ import annotations

from pathlib import Path

import yaml
from testing import SAMPLE, Document

ROOT = Path(__file__).resolve().parents[4]
#: What a site has before the settings of the document, and what it does with them.
BEFORE = """
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
"""
AFTER = f"""
import django
from django.conf import settings
from django.http import HttpResponse

def order_count(request):
    from django.db import connection
    with connection.cursor() as cursor:
        return HttpResponse(cursor.execute("SELECT count(*) FROM orders").fetchone()[0])

def counting(request):
    from django.db import connection
    with connection.cursor() as cursor:
        cursor.execute("UPDATE orders SET id = id")

from django.urls import path
urlpatterns = [path("", order_count), path("counting/", counting)]
settings.configure(
    DATABASES=DATABASES, LITESTREAM=LITESTREAM, MIDDLEWARE=MIDDLEWARE, ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["litestream_vfs_rs.django"],
)
django.setup()
from django.test import Client
client = Client()
print(client.get("/").content.decode(), client.post("/").status_code, client.get("/counting/").status_code)
"""


def test_a_reader_with_these_settings_reads_and_forwards(tmp_path: Path) -> None:
    replace = {"s3://bucket/app": f"file://{SAMPLE}", "http://node1:8000": "http://127.0.0.1:1"}
    document = Document(ROOT / "docs/from-litefs.md", tmp_path, {}, replace)
    (block,) = document.blocks("python")
    block.text = BEFORE + block.text + AFTER
    # Nobody listens at that port, so writes fail, also the one that a view tries in a GET.
    assert document.run(block) == "632 503 503\n"


def test_the_configuration_of_litestream_is_that_of_the_example() -> None:
    document = Document(ROOT / "docs/from-litefs.md", ROOT)
    (block,) = document.blocks("yaml")
    shown, used = yaml.safe_load(block.text), yaml.safe_load((ROOT / "examples/django-cluster/litestream.yml").read_text())
    for configuration in (shown, used):
        configuration["socket"].pop("path")
        configuration["dbs"][0].pop("path")
        configuration["dbs"][0]["replica"].pop("url")
    assert shown == used
    compose = yaml.safe_load((ROOT / "examples/django-cluster/compose.yml").read_text())
    nodes = {name: service["environment"] for name, service in compose["services"].items() if name.startswith("node")}
    assert [nodes[name].get("PRIMARY_URL") for name in sorted(nodes)] == [None, "http://node1:8000", "http://node1:8000"]
