"""The server of `composer watch`: a frame around the page of a model, and news when it changes.

It listens on the loopback interface alone and answers to no other name, so that no page from
elsewhere can read what it shows.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from watchfiles import awatch

from composer.diagnostics import SpecError
from composer.language.variants import files_of
from composer.targets.page.markup import Markup, element
from composer.targets.page.page import policy

HERE = Path(__file__).resolve().parent
LOOPBACK = "127.0.0.1"
Draw = Callable[[], "bytes | str"]
"""Gives the page of a model, or what is wrong with its spec."""


@dataclass
class News:
    """The page that was drawn last, what is wrong since then, and how often either changed."""

    page: bytes = b""
    problems: str = ""
    number: int = 0

    def take(self, drawn: bytes | str) -> None:
        """Keeps a new page; problems leave the old one where it is."""
        self.number += 1
        self.problems = drawn if isinstance(drawn, str) else ""
        self.page = drawn if isinstance(drawn, bytes) else self.page

    def text(self) -> str:
        """The news as a server-sent event."""
        data = {"number": self.number, "problems": self.problems, "drawn": bool(self.page)}
        return f"data: {json.dumps(data)}\n\n"


def serve(spec: Path, draw: Draw, port: int, ready: Callable[[str], None]) -> None:
    """Serves until it is interrupted; `ready` is told the address."""
    with socket.create_server((LOOPBACK, port)) as listening:
        ready(f"http://{LOOPBACK}:{listening.getsockname()[1]}/")
        config = uvicorn.Config(
            application(spec, draw), log_level="warning", timeout_graceful_shutdown=1
        )
        uvicorn.Server(config).run(sockets=[listening])


class Follower:
    """Draws a spec whenever one of its files changes, and tells everybody who waits."""

    def __init__(self, spec: Path, draw: Draw) -> None:
        self.spec, self.draw = spec, draw
        self.news = News()
        self._changed = asyncio.Condition()

    async def follow(self) -> None:
        """Runs until it is cancelled."""
        while True:
            # Taken before the drawing, so that what is saved meanwhile counts as a change.
            seen = await asyncio.to_thread(_stamps, self.spec)
            made = await asyncio.to_thread(self.draw)
            async with self._changed:
                self.news.take(made)
                self._changed.notify_all()
            folders = {file.parent for file in seen if file.parent.is_dir()}
            async for _ in awatch(
                *folders, recursive=False, rust_timeout=1000, yield_on_timeout=True
            ):
                if await asyncio.to_thread(_stamps, self.spec) != seen:
                    break

    async def told(self, request: Request) -> AsyncIterator[str]:
        """The news that there is, and each that follows, until nobody listens."""
        seen = 0
        while not await request.is_disconnected():
            async with self._changed:
                while self.news.number == seen:
                    await self._changed.wait()
                seen, text = self.news.number, self.news.text()
            yield text


def application(spec: Path, draw: Draw) -> Starlette:
    """The application: the frame at `/`, the page at `/model`, news at `/events`."""
    follower = Follower(spec, draw)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(follower.follow())
        yield
        task.cancel()

    async def events(request: Request) -> Response:
        return StreamingResponse(follower.told(request), media_type="text/event-stream")

    async def model(_: Request) -> Response:
        return _html(follower.news.page, "frame-ancestors 'self'")

    async def frame(_: Request) -> Response:
        return _html(*_frame(spec.name))

    return Starlette(
        routes=[Route("/", frame), Route("/model", model), Route("/events", events)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"])],
        lifespan=lifespan,
    )


def _stamps(spec: Path) -> dict[Path, tuple[int, int]]:
    """When the spec and the bases that it extends were written, as far as these can be read."""
    try:
        files = files_of(spec)
    except SpecError:
        files = [spec]
    return {file.resolve(): _stamp(file) for file in files}


def _stamp(file: Path) -> tuple[int, int]:
    try:
        about = file.stat()
    except OSError:
        return 0, 0
    return about.st_mtime_ns, about.st_size


def _html(data: bytes, rules: str) -> Response:
    headers = {
        "Content-Security-Policy": rules,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Response(data, media_type="text/html", headers=headers)


def _frame(name: str) -> tuple[bytes, str]:
    """The frame around the page of a model, and the policy that holds for it."""
    script = (HERE / "watch.js").read_text(encoding="utf-8")
    style = (HERE / "watch.css").read_text(encoding="utf-8")
    head = element(
        "head",
        Markup('<meta charset="utf-8">'),
        element("title", name),
        element("style", Markup(style)),
    )
    body = element(
        "body",
        element("pre", id="problems", role="alert", hidden=True),
        element("iframe", id="model", title=name, sandbox="allow-scripts"),
        element("script", Markup(script)),
    )
    html = f"<!doctype html>\n{element('html', head, body, lang='en')}\n"
    rules = policy(
        script, style, "connect-src 'self'", "frame-src 'self'", "frame-ancestors 'none'"
    )
    return html.encode(), rules
