"""Who may ask: the key, the names that the server answers to, and the pages that may talk to it.

    application = Guard(application, key="secret", hosts={"localhost", "127.0.0.1"}, origins=())

A web page of somebody else can make a browser send requests to this machine. Such a request carries the page's address
(Origin), or another host name (DNS rebinding), and is refused unless it was allowed. Not here: TLS, for which a reverse
proxy or an SSH tunnel is put before the server.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from xpert_cli.serve.api import ApiError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN = {"/", "/health"}  # what is answered without a key: nothing of the user's is in it


class Guard:
    """An ASGI application that passes on what is allowed.

    Args:
        key: what `Authorization: Bearer KEY` must say; None asks for none.
        hosts: names and addresses that the Host header may have; None takes any.
        origins: web pages (https://example.org) that may talk to the server; "*" is any.
    """

    def __init__(
        self, application: Any, *, key: str | None, hosts: Collection[str] | None, origins: Collection[str] = ()
    ) -> None:
        self._application, self._key, self._hosts, self._origins = application, key, hosts, origins

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":  # a web socket: there is none here
            return
        from starlette.responses import JSONResponse, Response

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get("origin", "")
        error = self._refusal(scope["path"], headers)
        foreign = origin and not self._same(origin, headers.get("host", ""))
        cors = {"access-control-allow-origin": origin, "vary": "origin"} if foreign and error is None else {}
        if foreign and scope["method"] == "OPTIONS" and (error is None or error.status == 401):
            cors |= {"access-control-allow-origin": origin, "access-control-allow-methods": "GET, POST"}
            cors |= {"access-control-allow-headers": headers.get("access-control-request-headers", "*")}
            await Response(status_code=204, headers=cors)(scope, receive, send)
            return
        if error is not None:
            await JSONResponse(error.body, error.status)(scope, receive, send)
            return

        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start" and cors:
                extra = [(name.encode(), value.encode("latin-1")) for name, value in cors.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self._application(scope, receive, marked)

    def _refusal(self, path: str, headers: dict[str, str]) -> ApiError | None:
        host = headers.get("host", "")
        name = urlsplit(f"//{host}").hostname or ""
        if self._hosts is not None and name not in self._hosts:
            return ApiError(403, f"This server does not answer to the name {name[:80]!r}.", code="wrong_host")
        origin = headers.get("origin", "")
        if origin and not self._same(origin, host) and origin not in self._origins and "*" not in self._origins:
            message = f"The page {origin[:80]!r} may not use this server. Allow it with --allow-origin."
            return ApiError(403, message, code="wrong_origin")
        if self._key is None or path in OPEN:
            return None
        token = headers.get("authorization", "").partition(" ")[2].strip() or headers.get("x-api-key", "")
        if not hmac.compare_digest(token.encode(), self._key.encode()):
            return ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
        return None

    @staticmethod
    def _same(origin: str, host: str) -> bool:
        """Whether a page came from this server."""
        return urlsplit(origin).netloc == host
