"""A WSGI application that reads the database that its workers write before the server forks them."""

from litestream_vfs_rs.django import close_replicas
from project.wsgi import application
from shop.models import Order

__all__ = ["application"]
BEFORE_FORK = Order.objects.count()
close_replicas()
