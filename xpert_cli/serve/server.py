"""The server itself: an address that is free, a key where others can reach it, and uvicorn.

    address = Address.bind("127.0.0.1", 8080)
    serve(service, address, key=None, on_ready=print)

Not here: routes (serve/app.py), who may ask (serve/guard.py).
"""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from xpert_cli.errors import BadInput, MissingExtra
from xpert_cli.serve.app import Service, build
from xpert_cli.serve.guard import LOOPBACK, Guard

GRACE = 2  # seconds that running answers get when the server is ended


@dataclass(frozen=True)
class Address:
    """A bound socket, and whether only this machine can reach it."""

    socket: socket.socket
    host: str
    port: int
    local: bool

    @classmethod
    def bind(cls, host: str, port: int) -> Address:
        """Take an address; port 0 takes any that is free.

        Raises:
            BadInput: the address is not this machine's, or the port is taken.
        """
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            bound = socket.socket(family, kind, protocol)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(place)
        except OSError as error:
            why = error.strerror or str(error)
            raise BadInput(f"cannot listen at {host} port {port}: {why}. Use another --host or --port.") from error
        address, actual_port = bound.getsockname()[:2]
        return cls(bound, host, actual_port, address.startswith("127.") or address == "::1")

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"


def require() -> None:
    """Make sure that what the server is built on is installed.

    Raises:
        MissingExtra: it is not.
    """
    try:
        import starlette
        import uvicorn  # noqa: F401
    except ImportError:
        raise MissingExtra("xpert serve", "serve") from None
    del starlette


def new_key() -> str:
    """A key that nobody guesses."""
    return f"xpert-{secrets.token_urlsafe(24)}"


def application(service: Service, address: Address, key: str | None, origins: Collection[str] = ()) -> Any:
    """The ASGI application with its guard. On the loopback address only loopback's names are answered to."""
    hosts = LOOPBACK | {address.host} if address.local else None
    return Guard(build(service), key=key, hosts=hosts, origins=origins)


def serve(
    service: Service,
    address: Address,
    key: str | None,
    *,
    origins: Collection[str] = (),
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Answer requests until the process is told to end; then the engine is closed.

    Args:
        on_ready: called when requests are answered.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_ready()

    # The engine's thread asks for the interpreter after each pass; it should not wait 5 ms for it.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    config = uvicorn.Config(
        application(service, address, key, origins),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        loop="asyncio",
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=64 << 10,
        limit_concurrency=None,
    )
    try:
        Server(config).run(sockets=[address.socket])
    finally:
        sys.setswitchinterval(interval)
        service.engine.close()
        address.socket.close()
