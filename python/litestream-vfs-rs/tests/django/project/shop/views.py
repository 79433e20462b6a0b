import os

from django.http import JsonResponse

from litestream_vfs_rs.django import retry_on_conflict, time_travel
from shop.models import Order


def _answer(**values):
    return JsonResponse({"pid": os.getpid(), **values})


def _orders(found):
    return _answer(databases=sorted({order._state.db for order in found}), statuses=[order.status for order in found])


def orders(request):
    """The orders, and the database that they come from. POST adds one first."""
    if request.method == "POST":
        Order.objects.create(status=request.POST["status"])
    return _orders(list(Order.objects.order_by("id")))


async def async_orders(request):
    if request.method == "POST":
        await Order.objects.acreate(status=request.POST["status"])
    return _orders([order async for order in Order.objects.order_by("id")])


def past(request):
    """How many orders there were at two times, each in a block inside the other."""
    with time_travel("prod_replica", request.GET["outer"]) as outer, time_travel("prod_replica", request.GET["inner"]) as inner:
        return _answer(outer=Order.objects.using(outer).count(), inner=Order.objects.using(inner).count())


async def async_past(request):
    with time_travel("prod_replica", request.GET["outer"]) as outer, time_travel("prod_replica", request.GET["inner"]) as inner:
        return _answer(outer=await _number(outer), inner=await _number(inner))


async def _number(alias):
    return len([order async for order in Order.objects.using(alias)])


def visits(request):
    """Writes to the session, after the view has ended."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return _answer(visits=request.session["visits"])


@retry_on_conflict(tries=100)
def sales(request):
    """Counts up. A count is lost if two requests have read the same number."""
    order = Order.objects.get(status="sold")
    order.amount += 1
    order.save()
    return _answer(amount=order.amount)
