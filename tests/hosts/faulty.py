"""A proxy before an HTTP server, whose responses have faults."""

import asyncio
import random
import re
import socket
import struct
import threading

FAULTS = (
    "refused", "reset", "hang", "hang in body", "trickle", "short", "long", "endless", "wrong bytes", "other version",
    "403", "404", "412", "429", "503", "sign-in", "stale listing", "shuffled listing",
)  # fmt: skip
ENTRY = re.compile(rb"<Contents>.*?</Contents>", re.S)
SIGN_IN = b"<html><body>Please sign in</body></html>"
CODES = {"403": "AccessDenied", "404": "NoSuchKey", "412": "PreconditionFailed", "429": "TooManyRequests", "503": "SlowDown"}


class Request:
    def __init__(self, head, body):
        self.head, self.body = head, body
        self.method, self.path = head.split(b" ", 2)[:2]
        is_listing = b"list-type=" in self.path
        self.kind = "LIST" if is_listing else self.method.decode()


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def head(self, **changed):
        headers = {**self.headers, "content-length": str(len(self.body)), **changed}
        lines = [f"HTTP/1.1 {self.status} status", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def read_message(reader):
    """Reads a request or a response. Returns its head and its body."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 100"):
            break
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    if headers.get(b"transfer-encoding") != b"chunked":
        return head, await reader.readexactly(int(headers.get(b"content-length", 0)))
    body = b""
    while length := int((await reader.readline()).split(b";")[0], 16):
        body += (await reader.readexactly(length + 2))[:-2]
    await reader.readline()
    return head, body


def parse(head, body):
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    headers = {name.lower(): value for name, value in headers.items()}
    headers.pop("transfer-encoding", None)
    return Response(lines[0].split(" ")[1], headers, body)


class FaultyProxy:
    """A running proxy. `choose` gets each request and returns its fault, or None. Faults of listings and of bytes happen only to responses
    that have them."""

    def __init__(self, to, choose):
        self.to, self.choose, self.listings, self.clients = to, choose, {}, set()
        ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.run, args=(ready,), daemon=True).start()
        ready.wait()

    def run(self, ready):
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 24))
        self.port = self.server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()

    def outage(self, seconds):
        """Refuses connections for some seconds, and resets the existing ones."""

        async def refuse():
            self.server.close()
            for client in list(self.clients):
                reset(client)
            await asyncio.sleep(seconds)
            self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, limit=1 << 24)

        asyncio.run_coroutine_threadsafe(refuse(), self.loop).result()

    async def serve(self, reader, writer):
        self.clients.add(writer)
        try:
            while True:
                request = Request(*await read_message(reader))
                await self.respond(request, self.choose(request), writer)
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError):
            pass
        finally:
            self.clients.discard(writer)
            writer.close()

    async def upstream(self, request):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.to, limit=1 << 24)
        try:
            writer.write(request.head + request.body)
            if request.method != b"HEAD":
                return parse(*await read_message(reader))
            return parse(await reader.readuntil(b"\r\n\r\n"), b"")
        finally:
            writer.close()

    async def respond(self, request, fault, writer):
        if fault == "refused":
            reset(writer)
            raise OSError
        if fault == "hang":
            await asyncio.sleep(60)
        if fault in CODES:
            error = f"<Error><Code>{CODES[fault]}</Code><Message>no</Message></Error>".encode()
            pause = {"429": "1", "503": "60"}.get(fault)
            writer.write(Response(fault, {"content-type": "application/xml"}, error).head(**{"retry-after": pause}))
            writer.write(b"" if request.method == b"HEAD" else error)
            return await writer.drain()
        if fault == "sign-in":
            writer.write(Response("200", {"content-type": "text/html"}, SIGN_IN).head())
            writer.write(b"" if request.method == b"HEAD" else SIGN_IN)
            return await writer.drain()
        response = await self.upstream(request)
        if fault == "reset":
            reset(writer)
            raise OSError
        await self.send(self.changed(request, response, fault), fault, request, writer)

    def changed(self, request, response, fault):
        """Changes what a response contains."""
        if request.kind == "LIST":
            key = re.sub(rb"(start-after|max-keys|continuation-token)=[^&]*", b"", request.path)
            stale = self.listings.get(key, response.body)
            if fault != "stale listing" or random.random() < 0.5:
                self.listings[key] = response.body
            if fault == "stale listing":
                response.body = stale
            if fault == "shuffled listing":
                entries = ENTRY.findall(response.body)
                shuffled = iter(random.sample(entries, len(entries)))
                response.body = ENTRY.sub(lambda _: next(shuffled), response.body)
        elif request.kind == "GET":
            if fault == "wrong bytes":
                response.body = bytes(byte ^ 0xFF for byte in response.body)
            if fault == "other version" and "etag" in response.headers:
                response.headers["etag"] = '"another"'
            if fault == "short" and response.body and "content-range" in response.headers:
                response.body = response.body[:-1]
        if fault == "long":
            response.body += b"more" * 100
        return response

    async def send(self, response, fault, request, writer):
        half = len(response.body) // 2
        if request.method == b"HEAD":
            writer.write(response.head(**{"content-length": response.headers.get("content-length", "0")}))
        elif fault == "hang in body":
            writer.write(response.head() + response.body[:half])
            await writer.drain()
            await asyncio.sleep(60)
        elif fault == "trickle":
            writer.write(response.head())
            for start in range(0, len(response.body), max(1, half // 3)):
                writer.write(response.body[start : start + max(1, half // 3)])
                await writer.drain()
                await asyncio.sleep(0.3)
        elif fault == "endless":
            writer.write(response.head(**{"content-length": None, "transfer-encoding": "chunked"}))
            while True:
                writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                await writer.drain()
        else:
            writer.write(response.head() + response.body)
        await writer.drain()


def reset(writer):
    """Closes a connection so that the other end gets a reset."""
    if not writer.transport.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
