"""The Python zygote: boots with uvicorn serving a warm-up answer, waits for one program, then serves that program.

It holds a listening server from the start, so a program needs no listen, no server start and no cold import of the
server's code: only its own module is loaded. Control socket on descriptor 3: W warm, L loaded; the settings come in.
"""
import asyncio
import os
import random
import socket
import sys

# What most programs import first. Loading it ahead costs nothing that a request would feel.
import base64, collections, contextlib, datetime, email.utils, functools, hashlib, inspect, io, json, logging, mimetypes  # noqa: E401,F401
import pathlib, re, secrets, string, struct, tempfile, time, traceback, typing, urllib.parse, uuid  # noqa: E401,F401
import uvicorn
import uvicorn.lifespan.on
import uvicorn.protocols.http.h11_impl  # noqa: F401
import uvicorn.protocols.websockets.wsproto_impl  # noqa: F401


async def warm_up_answer(scope, receive, send):
    if scope["type"] != "http":
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"warm"})


target = warm_up_answer


async def swap(scope, receive, send):
    await target(scope, receive, send)


def server_config(app, lifespan):
    return uvicorn.Config(
        app, host="127.0.0.1", port=8080, loop="asyncio", http="h11", ws="wsproto", lifespan=lifespan,
        log_level="warning", access_log=False, proxy_headers=False, server_header=False, timeout_keep_alive=75,
    )


async def call_once():
    reader, writer = await asyncio.open_connection("127.0.0.1", 8080)
    writer.write(b"GET / HTTP/1.1\r\nhost: warm\r\nconnection: close\r\n\r\n")
    await reader.read()
    writer.close()


async def read_settings(control):
    loop = asyncio.get_running_loop()

    async def exactly(count):
        data = b""
        while len(data) < count:
            part = await loop.sock_recv(control, count - len(data))
            if not part:
                os._exit(0)
            data += part
        return data

    block = await exactly(int.from_bytes(await exactly(4), "little"))
    texts = block.decode("utf-8", "surrogateescape").split("\0")
    return list(zip(texts[0::2], texts[1::2]))


def find_application(reference):
    """Loads "module:attribute"; the program's own traceback is what its owner needs to see, so it is let through."""
    import importlib

    module_name, _, attribute = reference.partition(":")
    found = importlib.import_module(module_name)
    for name in (attribute or "app").split("."):
        found = getattr(found, name)
    return found


async def load(settings):
    global target
    words = [value for key, value in settings if key == "word"]
    workdir = dict(settings).get("workdir", "/")
    for name, _, value in (value.partition("=") for key, value in settings if key == "env"):
        os.environ[name] = value
    time.tzset()
    os.chdir(workdir)
    sys.path.insert(0, workdir)
    sys.argv = words[:1] or [""]
    random.seed()
    config = server_config(find_application(words[0]), "auto")
    config.load()
    lifespan = uvicorn.lifespan.on.LifespanOn(config)
    await lifespan.startup()
    if lifespan.should_exit:
        sys.exit(1)
    target = config.loaded_app


async def main():
    control = socket.socket(fileno=3)
    control.setblocking(False)
    server = uvicorn.Server(server_config(swap, "off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.001)
    for _ in range(3):
        await call_once()
    os.write(3, b"W")
    await load(await read_settings(control))
    os.write(3, b"L")
    control.close()
    await serving


asyncio.run(main())
