"""`xpert serve` on the command line; the server is in serve/."""

from __future__ import annotations

from typing import Annotated

from rich.console import Group, RenderableType
from rich.text import Text

from xpert_cli.cli.options import (
    MANY,
    BaseOpt,
    CacheOpt,
    ContextOpt,
    OfflineOpt,
    ThreadsOpt,
    open_base,
    opened_at_hand,
    option,
    whole,
    with_output,
)
from xpert_cli.cli.output import Output
from xpert_cli.cli.views import unbroken
from xpert_cli.counts import counted


@with_output()
def serve(
    out: Output,
    base: BaseOpt = None,
    cache: CacheOpt = None,
    host: Annotated[
        str, option("--host", "Address to listen at. One that other machines can reach needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, option("--port", "Port; 0 picks a free one.", parser=whole(0, 65535))] = 8080,
    api_key: Annotated[
        str | None,
        option("--api-key", "Key that clients must send; xpert makes one if it is needed.", envvar="XPERT_API_KEY"),
    ] = None,
    allow_origin: Annotated[
        list[str] | None, option("--allow-origin", "A web page that may use the server; repeatable.", metavar="URL")
    ] = None,
    context: ContextOpt = None,
    slots: Annotated[int, option("--slots", "Answers to compute at the same time.", parser=whole(1, 64))] = 4,
    queue: Annotated[int, option("--queue", "Requests that may wait.", parser=whole(1, MANY))] = 128,
    max_tokens: Annotated[
        int, option("--max-tokens", "Most tokens of an answer, unless the request says.", parser=whole(1, MANY))
    ] = 1024,
    threads: ThreadsOpt = None,
    offline: OfflineOpt = False,
) -> None:
    """Answer OpenAI-compatible requests, and show a page to chat on."""
    from xpert_cli.serve import server

    server.require()
    from xpert_cli.serve.app import Service
    from xpert_cli.serve.engine import Engine
    from xpert_cli.serve.names import Names

    address = server.Address.bind(host, port)
    key = api_key or (None if address.local else server.new_key())
    model = open_base(base, offline, out)
    names = Names(model, opened_at_hand(cache, model, out))
    engine = Engine(model, context=context, slots=slots, queue=queue, threads=threads)
    out.notes(filter(None, [engine.note]))
    service = Service(engine, names, max_tokens=max_tokens)
    listed = [one.name for one in names.known()]

    def ready() -> None:
        fields = {"url": address.url, "api": f"{address.url}/v1", "key": None if api_key else key, "models": listed}
        out.show(fields, _text(address.url, None if api_key else key, listed))

    server.serve(service, address, key, origins=allow_origin or (), on_ready=ready)


def _text(url: str, key: str | None, listed: list[str]) -> RenderableType:
    """Where it is, each address and the key on a line of its own, whole."""
    rows = [("The page", url), ("For apps", f"{url}/v1"), ("Model", listed[0])]
    rows += [("API key", key)] if key else []
    ends = f"{counted(len(listed), 'models')}, OpenAI-compatible; Ctrl-C ends the server."
    return Group(*(unbroken(f"{name + ':':<10}{value}") for name, value in rows), Text(ends))
