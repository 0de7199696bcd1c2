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
import base64, collections, contextlib, datetime, email.utils, functools, gc, hashlib, inspect, io, json, logging, mimetypes  # noqa: E401,F401
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


WARM_UP_PROGRAM = '''
"""Uses what programs use, so that the pages of the compiler and of the import system are in memory before a program comes."""
import asyncio, dataclasses, hashlib, json, os
from pathlib import Path
from urllib.parse import parse_qs

NAMES = {name: index for index, name in enumerate(sorted(["b", "a"]))}
TEXT = Path(__file__).read_text().strip()

@dataclasses.dataclass
class Thing:
    name: str = "x"
    values: list = dataclasses.field(default_factory=list)

    def total(self, *more, scale=1, **named):
        try:
            return sum(value * scale for value in (*self.values, *more)) if self.values else 0
        except (TypeError, ValueError) as error:
            raise RuntimeError(f"no total: {error!r:>10}") from error
        finally:
            self.name += "y"

async def parts(count):
    for number in range(count):
        yield f"part {number}".encode()

async def app(scope, receive, send):
    digest, size = hashlib.sha256(), 0
    async for part in parts(3):
        digest.update(part)
        size += len(part)
    while size > 0 and not scope.get("stop"):
        size = size // 2 if size % 2 == 0 else size - 1
    with open(os.devnull) as file:
        lines = [line for line in file if line]
    answer = {"query": parse_qs("a=1&b=2"), "sha256": digest.hexdigest(), "lines": lines, "thing": Thing(values=[1, 2]).total(3, scale=2)}
    return json.dumps(answer, indent=None).encode("utf-8"), [(key.lower(), value) for key, value in NAMES.items() if value is not None]
'''


async def load_once():
    """Imports a program from a folder of its own, as a real one is, and forgets it."""
    import shutil

    folder = tempfile.mkdtemp()
    pathlib.Path(folder, "warm_up_program.py").write_text(WARM_UP_PROGRAM)
    sys.path.insert(0, folder)
    try:
        await find_application("warm_up_program:app")({}, None, None)
        server_config(warm_up_answer, "auto").load()
    finally:
        sys.path.remove(folder)
        sys.path_importer_cache.pop(folder, None)
        del sys.modules["warm_up_program"]
        shutil.rmtree(folder)


def hold_memory():
    """Touches memory that the program will be given, and keeps it: in this guest each first touch of a page costs about 20 µs.

    Small objects: one survivor in each arena keeps Python from giving the arena back. Large ones: the C library keeps them
    (MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_, set by the agent).
    """
    small = [bytes(400) for _ in range(4 * 2500)]
    survivors = small[::400]
    large = bytes(4 * 1024 * 1024)
    del small, large
    return survivors


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
        await load_once()
    held = hold_memory()  # noqa: F841
    gc.collect()
    gc.freeze()
    os.write(3, b"W")
    await load(await read_settings(control))
    os.write(3, b"L")
    control.close()
    await serving


asyncio.run(main())
