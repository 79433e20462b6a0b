"""A WSGI application that reads a replica before the server forks its workers."""

from project.wsgi import application
from shop.models import Order

__all__ = ["application"]
BEFORE_FORK = Order.objects.using("prod_replica").count()
