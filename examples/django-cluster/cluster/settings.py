"""The settings of every node. The environment says which node this is: see `node`."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
NODE_NAME = os.environ.get("NODE_NAME", "node1")
REPLICA_URL = os.environ.get("REPLICA_URL", f"file://{BASE_DIR / 'data/replica'}")
# Empty on the node that writes.
PRIMARY_URL = os.environ.get("PRIMARY_URL")
DATA_DIR = Path(os.environ.get("DATA_DIR", BASE_DIR / "data" / NODE_NAME))

# All nodes need the same key, because cookies of one are read by the others. Use your own.
SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-the-example")
DEBUG = False
ALLOWED_HOSTS = ["*"]

LITESTREAM = {
    "primary_url": PRIMARY_URL,
    "socket": os.environ.get("LITESTREAM_SOCKET", str(DATA_DIR / "litestream.sock")),
}
if PRIMARY_URL:
    DATABASES = {
        "default": {
            "ENGINE": "litestream_vfs_rs.django.db.backend",
            "NAME": REPLICA_URL,
            "OPTIONS": {"poll_interval": "250ms", "open_timeout": "30s"},
        }
    }
else:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "db.sqlite3", "OPTIONS": {"timeout": 30}}}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "litestream_vfs_rs.django",
    "board",
]
MIDDLEWARE = [
    # The first one is active on readers, the second on the writer.
    "litestream_vfs_rs.django.forward.ForwardWritesMiddleware",
    "litestream_vfs_rs.django.middleware.TxidMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
ROOT_URLCONF = "cluster.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"]},
}
