import json

from django.conf import settings
from django.db import Error
from django.db.models import Count
from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from litestream_vfs_rs.django import get_vfs_status

from .models import Message


def respond(code=200, /, **fields):
    return JsonResponse({"node_name": settings.NODE_NAME, **fields}, status=code)


@require_GET
def health(request):
    """Whether this node can answer. A reader also says how far its replica is."""
    role = "reader" if settings.PRIMARY_URL else "writer"
    replica = get_vfs_status("default") if role == "reader" else {"txid": None, "lag_seconds": None}
    try:
        count = Message.objects.count()
    except Error as error:
        return respond(503, status="error", role=role, error=str(error))
    return respond(
        status="healthy", role=role, message_count=count, txid=replica["txid"], lag_seconds=replica["lag_seconds"]
    )


@require_GET
def messages(request):
    newest = Message.objects.all()[:100]
    fields = [
        {"id": each.id, "content": each.content, "node_name": each.node_name, "created_at": each.created_at.isoformat()}
        for each in newest
    ]
    return respond(message_count=Message.objects.count(), messages=fields)


@csrf_exempt
@require_POST
def create(request):
    try:
        content = json.loads(request.body)["content"].strip()
    except (ValueError, TypeError, KeyError, AttributeError):
        content = ""
    if not content:
        return respond(400, error='send a JSON object such as {"content": "Hello"}')
    message = Message.objects.create(content=content, node_name=settings.NODE_NAME)
    return respond(201, id=message.id, content=message.content, created_at=message.created_at.isoformat())


@require_GET
def stats(request):
    by_node = Message.objects.order_by().values_list("node_name").annotate(Count("id"))
    return respond(total_messages=Message.objects.count(), by_node=dict(by_node))
