"""The settings of a site whose replicas the environment names."""

import json
import os

from litestream_vfs_rs.django import get_vfs_databases

SECRET_KEY = "only-for-tests"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "project.urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.sessions", "litestream_vfs_rs.django", "shop"]
MIDDLEWARE = ["litestream_vfs_rs.django.middleware.TxidMiddleware", "django.contrib.sessions.middleware.SessionMiddleware"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "America/New_York"

LITESTREAM = {
    "socket": os.environ["SITE_SOCKET"],
    "vfs": json.loads(os.environ["SITE_REPLICAS"]),
}
if "SITE_LIBRARY" in os.environ:
    LITESTREAM["vfs_extension_path"] = os.environ["SITE_LIBRARY"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SITE_DATABASE"], "OPTIONS": {"timeout": 30}},
    **get_vfs_databases(),
}
if "SITE_UNMIRRORED" in os.environ:
    replica = DATABASES["prod_replica"]
    DATABASES["unmirrored"] = {"ENGINE": replica["ENGINE"], "NAME": replica["NAME"], "OPTIONS": {"cache_size": "1MB"}}
DATABASE_ROUTERS = ["litestream_vfs_rs.django.LitestreamRouter"]
