"""The same site with django-multidb-router, which sends a browser to the primary for some seconds after a write."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS, LITESTREAM, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "multidb"]
MIDDLEWARE = ["multidb.middleware.PinningRouterMiddleware", *MIDDLEWARE[1:]]
DATABASE_ROUTERS = ["multidb.PinningReplicaRouter"]
REPLICA_DATABASES = [alias for alias, url in LITESTREAM["vfs"].items() if isinstance(url, str)]
