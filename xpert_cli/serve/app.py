"""The routes of `xpert serve`, as an ASGI application.

    application = build(Service(engine, names, limits), key="secret", hosts=LOOPBACK)

| route                                        | answers                                              |
|----------------------------------------------|------------------------------------------------------|
| POST /v1/chat/completions, /v1/completions   | OpenAI's, streamed or whole                          |
| GET /v1/models, /v1/models/NAME              | the names that `model` may have                      |
| GET, POST /lora-adapters                     | as llama-server: the default model's adapters        |
| GET /health, /metrics                        | whether it answers; counts, as Prometheus reads them |
| GET /, /me, /me.svg                          | the page, what it says of the newest run, the picture |

Not here: what runs the application (serve/server.py), who may ask (serve/guard.py), decoding (serve/engine.py).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpert_cli import __version__
from xpert_cli.errors import BadInput, XpertError
from xpert_cli.foreign.data import read_json
from xpert_cli.serve import api, writing
from xpert_cli.serve.api import ApiError
from xpert_cli.serve.engine import Engine, Job, Piece
from xpert_cli.serve.me import Me
from xpert_cli.serve.names import Names

if TYPE_CHECKING:
    from starlette.requests import Request as Http
    from starlette.responses import Response

PAGE = Path(__file__).with_name("page.html")
# The page runs its own script and talks to its own server; nothing is fetched from anywhere else.
PAGE_POLICY = (
    "default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; connect-src 'self'; "
    "img-src blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass
class Service:
    """What the routes work with.

    Attributes:
        max_tokens: of an answer, where the request does not say.
        most_tokens: of an answer, whatever the request says.
        most_bytes: of a request's body.
        refused: requests that were answered with an error, by status.
    """

    engine: Engine
    names: Names
    max_tokens: int = 1024
    most_tokens: int = 1 << 20
    most_bytes: int = 1 << 20
    refused: dict[int, int] = field(default_factory=dict)

    def prepare(self, request: api.Request, client: str) -> Job:
        """The engine's job for a request; reads files and may try an adapter, so not in the event loop."""
        names, model = self.names, self.engine.model
        adapters = names.adapters(request.model) if request.lora is None else names.numbered(request.lora)
        try:
            if request.kind == "chat":
                tokens = model.chat(request.messages)
            else:
                tokens = model.start_of_text + model.tokenize(request.prompt)
        except BadInput as error:
            raise ApiError(400, str(error), param="messages") from error
        room = model.room - len(tokens)
        if room < 1:
            message = f"The prompt has {len(tokens)} tokens; this server's context is {model.room} tokens."
            param = "messages" if request.kind == "chat" else "prompt"
            raise ApiError(400, message, code="context_length_exceeded", param=param)
        limit = min(request.max_tokens or self.max_tokens, self.most_tokens, room)
        return Job(tokens, adapters, request.draw, limit, request.stop, f"{client} {request.user}")


def build(service: Service) -> Any:
    """The ASGI application, without the guard that stands before it."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
    from starlette.responses import Response as Plain
    from starlette.routing import Route

    me = Me(service.names)
    text, policy = _page()

    def failed(error: ApiError) -> Response:
        service.refused[error.status] = service.refused.get(error.status, 0) + 1
        headers = {"Retry-After": "5"} if error.status == 429 else None
        return JSONResponse(error.body, error.status, headers)

    def answering(kind: api.Kind) -> Callable[[Http], Awaitable[Response]]:
        async def answer(http: Http) -> Response:
            request = api.read(await _body(http, service.most_bytes), kind)
            client = http.client.host if http.client else ""
            job = await asyncio.to_thread(service.prepare, request, client)
            service.engine.submit(job)
            name = request.model or "default"
            if request.stream:
                return _Stream(job, service.engine, writing.Chunks(request, name))  # type: ignore[return-value]
            return JSONResponse(writing.whole(request, name, await _whole(http, job, service.engine)))

        return answer

    async def models(http: Http) -> Response:
        known = await asyncio.to_thread(service.names.known)
        listed = [
            {"id": one.name, "object": "model", "created": one.created, "owned_by": "xpert", "description": one.what}
            for one in known
        ]
        if (name := http.path_params.get("name")) is None:
            return JSONResponse({"object": "list", "data": listed})
        one = next((one for one in listed if one["id"] == name), None)
        if one is None:
            raise ApiError(404, f"The model {name!r} does not exist here.", code="model_not_found", param="model")
        return JSONResponse(one)

    async def adapters(http: Http) -> Response:
        if http.method == "POST":
            try:
                fields = read_json(await _body(http, service.most_bytes))
            except ValueError as error:
                raise ApiError(400, f"The body is not valid JSON: {error}.") from None
            await asyncio.to_thread(service.names.set_default, api.scales(fields))
        files = await asyncio.to_thread(service.names.files)
        listed = [
            {"id": number, "path": str(path), "name": name, "scale": scale}
            for number, (name, path, scale) in enumerate(files)
        ]
        return JSONResponse(listed)

    async def health(http: Http) -> Response:
        if not service.engine.alive:
            raise ApiError(503, "The engine has stopped. Start xpert serve again.")
        return JSONResponse({"status": "ok"})

    async def metrics(http: Http) -> Response:
        return PlainTextResponse(_metrics(service), media_type="text/plain; version=0.0.4")

    async def page(http: Http) -> Response:
        return HTMLResponse(text, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})

    async def about_me(http: Http) -> Response:
        return JSONResponse(await asyncio.to_thread(me.about))

    async def portrait(http: Http) -> Response:
        svg = await asyncio.to_thread(me.portrait, "narrow" in http.query_params)
        if svg is None:
            raise ApiError(404, "There is no portrait: no finished run has kept its messages.")
        return Plain(svg, media_type="image/svg+xml")

    async def on_error(http: Http, error: Exception) -> Response:
        if isinstance(error, ApiError):
            return failed(error)
        return failed(ApiError(500 if not isinstance(error, BadInput) else 400, str(error)))

    async def on_http_error(http: Http, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return failed(ApiError(404, f"There is nothing at {http.url.path}.", code="unknown_url"))
        return failed(ApiError(error.status_code, f"{http.method} {http.url.path}: {error.detail}."))

    async def on_bug(http: Http, error: Exception) -> Response:
        return failed(ApiError(500, f"internal error ({type(error).__name__}: {str(error)[:200]})"))

    routes = [
        Route("/v1/chat/completions", answering("chat"), methods=["POST"]),
        Route("/v1/completions", answering("completion"), methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", models),
        Route("/lora-adapters", adapters, methods=["GET", "POST"]),
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/", page),
        Route("/me", about_me),
        Route("/me.svg", portrait),
    ]
    handlers: dict[Any, Any] = {XpertError: on_error, HTTPException: on_http_error, Exception: on_bug}
    return Starlette(routes=routes, exception_handlers=handlers)


def _page() -> tuple[str, str]:
    """The page, and the policy under which a browser runs its script and no other."""
    text = PAGE.read_text("utf-8").replace("{version}", __version__)
    script = text[text.index("<script>") + len("<script>") : text.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return text, PAGE_POLICY.format(digest=digest)


async def _body(http: Http, most: int) -> bytes:
    """The body of a request, which is refused as soon as it is too large."""
    body = bytearray()
    async for part in http.stream():
        body += part
        if len(body) > most:
            raise ApiError(413, f"The body has more than {most:,} bytes.", code="body_too_large")
    return bytes(body)


async def _whole(http: Http, job: Job, engine: Engine) -> writing.Answer:
    """The complete answer; nothing is worked on any more once the client has gone away."""
    watch = asyncio.create_task(_until_gone(http.receive, job, engine))
    pieces: list[Piece] = []
    try:
        async for piece in job.pieces():
            pieces.append(piece)
    except XpertError as error:
        raise error if isinstance(error, ApiError) else ApiError(500, str(error)) from error
    finally:
        watch.cancel()
        engine.cancel(job)
    if not pieces or not pieces[-1].finish:
        raise ApiError(499, "The client closed the connection.")
    scored = tuple(one for piece in pieces for one in piece.scored)
    return writing.Answer(Piece("".join(p.text for p in pieces), scored, pieces[-1].finish), writing.usage(job))


async def _until_gone(receive: Callable[[], Awaitable[Any]], job: Job, engine: Engine) -> None:
    """Cancel a job when its client closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
    engine.cancel(job)
    job.wake(True)


class _Stream:
    """A response of server-sent events, which ends its job when the client goes away."""

    def __init__(self, job: Job, engine: Engine, chunks: writing.Chunks) -> None:
        self._job, self._engine, self._chunks = job, engine, chunks

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the answer as it comes."""
        watch = asyncio.create_task(_until_gone(receive, self._job, self._engine))
        started = False

        async def write(data: bytes, more: bool = True) -> None:
            nonlocal started
            if not started:
                headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
                headers.append((b"x-accel-buffering", b"no"))  # nginx would hold the stream back
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                started = True
            await send({"type": "http.response.body", "body": data, "more_body": more})

        try:
            with suppress(OSError):  # the client went away while something was sent
                await write(self._chunks.first())
                async for piece in self._job.pieces():
                    await write(self._chunks.chunk(piece))
                await write(self._chunks.last(self._job), more=False)
        except XpertError as error:
            failure = error if isinstance(error, ApiError) else ApiError(500, str(error))
            await write(self._chunks.failed(failure), more=False)
        finally:
            watch.cancel()
            self._engine.cancel(self._job)


def _metrics(service: Service) -> str:
    """Counts in the text format of Prometheus."""
    engine, counts = service.engine, service.engine.counts
    lines = []
    for name, kind, what, value in (
        ("requests_answered_total", "counter", "Requests that were answered.", counts.answered),
        ("requests_failed_total", "counter", "Requests that failed in the model.", counts.failed),
        ("requests_left_total", "counter", "Requests whose client went away.", counts.left),
        ("requests_running", "gauge", "Requests that are being answered.", engine.running),
        ("requests_waiting", "gauge", "Requests that wait for a slot.", engine.waiting),
        ("prompt_tokens_total", "counter", "Tokens of prompts.", counts.prompt_tokens),
        ("prompt_tokens_cached_total", "counter", "Tokens of prompts that a slot held already.", counts.cached_tokens),
        ("generated_tokens_total", "counter", "Tokens of answers.", counts.generated_tokens),
        ("decode_seconds_total", "counter", "Time in the model.", round(counts.seconds, 3)),
    ):
        lines += [f"# HELP xpert_{name} {what}", f"# TYPE xpert_{name} {kind}", f"xpert_{name} {value}"]
    lines += [
        "# HELP xpert_requests_refused_total Requests answered with an error.",
        "# TYPE xpert_requests_refused_total counter",
    ]
    lines += [f'xpert_requests_refused_total{{status="{status}"}} {count}' for status, count in service.refused.items()]
    return "\n".join(lines) + "\n"
