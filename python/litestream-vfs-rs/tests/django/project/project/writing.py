"""The same site without a local database: its only database is a replica that it writes."""

import json
import os

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS, MIDDLEWARE

DATABASES = {
    "default": {
        "ENGINE": "litestream_vfs_rs.django.db.backend",
        "NAME": os.environ["SITE_WRITTEN"],
        "OPTIONS": {"write_enabled": True, "timeout": 30, **json.loads(os.environ.get("SITE_OPTIONS", "{}"))},
    }
}
DATABASE_ROUTERS = []
LITESTREAM = {}
INSTALLED_APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.messages", *INSTALLED_APPS]
MIDDLEWARE = [
    *MIDDLEWARE,
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
            ]
        },
    }
]
ROOT_URLCONF = "project.writing_urls"
