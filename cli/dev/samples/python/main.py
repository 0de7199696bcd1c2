"""A sample program: plain ASGI, no dependency. Publish it with `lastmile publish cli/dev/samples/python --entry main:app`."""
import asyncio
import hashlib
import json
import os
from pathlib import Path
from urllib.parse import parse_qs

VERSION = (Path(__file__).parent / "VERSION").read_text().strip()
BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
MEBI = 1024 * 1024
BLOB_MIB_MAX = 1024


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    if scope["type"] == "websocket":
        return await websocket_echo(receive, send)
    handler = ROUTES.get(scope["path"])
    if handler is None:
        return await answer_json(send, {"error": "not found", "path": scope["path"]}, status=404)
    await handler(scope, receive, send)


async def lifespan(receive, send):
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def start(send, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": [(k.encode(), v.encode()) for k, v in headers]})


async def answer_json(send, value, status=200, headers=()):
    body = json.dumps(value).encode()
    await start(send, status, [("content-type", "application/json"), ("content-length", str(len(body))), *headers])
    await send({"type": "http.response.body", "body": body})


async def body_of(receive):
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def index(scope, receive, send):
    await answer_json(send, {"language": "python", "version": VERSION, "bootId": BOOT_ID, "hostname": os.uname().nodename})


async def headers(scope, receive, send):
    await answer_json(send, [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]])


async def events(scope, receive, send):
    await start(send, 200, [("content-type", "text/event-stream"), ("cache-control", "no-store")])
    for number in range(1, 6):
        event = f"id: {number}\ndata: event {number}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(0.3 if number < 5 else 0)
    await send({"type": "http.response.body", "body": b""})


async def echo(scope, receive, send):
    await start(send, 200, [("content-type", "application/octet-stream")])
    async for part in body_of(receive):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def blob(scope, receive, send):
    asked = parse_qs(scope["query_string"].decode()).get("mib", ["1"])[0]
    mib = min(int(asked) if asked.isdigit() else 1, BLOB_MIB_MAX)
    await start(send, 200, [("content-type", "application/octet-stream"), ("content-length", str(mib * MEBI))])
    part = bytes(range(256)) * 256
    for _ in range(mib * 16):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def digest(scope, receive, send):
    state, size = hashlib.sha256(), 0
    async for part in body_of(receive):
        state.update(part)
        size += len(part)
    await answer_json(send, {"sha256": state.hexdigest(), "size": size})


async def websocket_echo(receive, send):
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.disconnect":
            return
        elif message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def cookies(scope, receive, send):
    await answer_json(send, {"ok": True}, headers=[("set-cookie", "first=1; Path=/"), ("set-cookie", "second=2; Path=/")])


async def environment(scope, receive, send):
    await answer_json(send, dict(os.environ))


async def fail(scope, receive, send):
    raise RuntimeError("This program fails on purpose at /raise.")


ROUTES = {
    "/": index, "/headers": headers, "/events": events, "/echo": echo, "/blob": blob, "/digest": digest,
    "/cookies": cookies, "/env": environment, "/raise": fail,
}
