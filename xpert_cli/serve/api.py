"""OpenAI's shapes: what a request asks for, and how answers and errors are written.

    asked = chat_request({"model": "me", "messages": [{"role": "user", "content": "Hello!"}]})

A parameter that would change the answer and that xpert cannot follow is refused by name; one that changes nothing here
is accepted. Not here: routes (serve/app.py), decoding (serve/engine.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from xpert_cli.errors import XpertError
from xpert_cli.foreign.data import require_shallow
from xpert_cli.llama.slots import Draw

MOST_STOPS, MOST_MESSAGES, MOST_LOGPROBS = 16, 2048, 20
Kind = Literal["chat", "completion"]

# Accepted and without effect: they say who asks, how the answer is kept or billed, or are for other kinds of model.
_HARMLESS = {
    *("user", "metadata", "store", "service_tier", "prediction", "verbosity", "reasoning_effort", "safety_identifier"),
    *("prompt_cache_key", "prompt_cache_retention", "parallel_tool_calls", "cache_prompt", "id_slot", "best_of"),
}
# Accepted where they have one of these values, which ask for nothing that xpert lacks.
_ONLY: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "logit_bias": ({},),
    "suffix": ("",),
    "echo": (False,),
}
_NUMBERS: dict[str, tuple[str, float, float]] = {  # parameter: field of Draw, least, most
    "temperature": ("temperature", 0.0, 2.0),
    "top_p": ("top_p", 0.0, 1.0),
    "min_p": ("min_p", 0.0, 1.0),
    "frequency_penalty": ("frequency", -2.0, 2.0),
    "presence_penalty": ("presence", -2.0, 2.0),
    "repeat_penalty": ("repeat", 0.1, 10.0),
}
_WHOLE: dict[str, tuple[str, int, int]] = {"top_k": ("top_k", 0, 1 << 20), "seed": ("seed", -(1 << 63), 1 << 63)}
_COMMON = {"model", "stream", "stream_options", "stop", "max_tokens", "logprobs", "lora", *_NUMBERS, *_WHOLE}
_OWN: dict[Kind, set[str]] = {
    "chat": {"messages", "max_completion_tokens", "top_logprobs"},
    "completion": {"prompt"},
}
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class ApiError(XpertError):
    """A request that cannot be answered: a status, and the fields of OpenAI's error object."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
        kind = kinds.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True)
class Request:
    """What a client asks for.

    Attributes:
        model: a model's name; "" is the default.
        messages: role and content of a chat; empty for a completion.
        prompt: the text to continue of a completion.
        max_tokens: None leaves the limit to the server.
        lora: scales of adapters by their number in /lora-adapters, in place of the model's own; None leaves these.
        user: who asks, as the client says.
    """

    kind: Kind
    model: str
    messages: tuple[dict[str, str], ...]
    prompt: str
    draw: Draw
    max_tokens: int | None
    stop: tuple[str, ...]
    stream: bool
    stream_usage: bool
    lora: tuple[tuple[int, float], ...] | None
    user: str


def read(body: bytes, kind: Kind) -> Request:
    """The request in a body of JSON.

    Raises:
        ApiError: it is no JSON object, or a parameter cannot be followed; its name is in the error.
    """
    try:
        fields = json.loads(body)
        require_shallow(fields)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"The body is not valid JSON: {error}.") from None
    if not isinstance(fields, dict):
        raise ApiError(400, "The body must be a JSON object.")
    fields = {name: value for name, value in fields.items() if value is not None}
    _refuse_unknown(fields, kind)
    chat = kind == "chat"
    return Request(
        kind=kind,
        model=_typed(fields, "model", str, ""),
        messages=_messages(fields) if chat else (),
        prompt="" if chat else _prompt(fields),
        draw=replace(_draw(fields), logprobs=_logprobs(fields, chat)),
        max_tokens=_max_tokens(fields, chat),
        stop=_stop(fields),
        stream=_typed(fields, "stream", bool, False),
        stream_usage=bool(_typed(fields, "stream_options", dict, {}).get("include_usage")),
        lora=scales(fields["lora"], "lora") if "lora" in fields else None,
        user=_typed(fields, "user", str, "")[:200],
    )


def scales(value: Any, param: str | None = None) -> tuple[tuple[int, float], ...]:
    """Adapter numbers and scales of `[{"id": 0, "scale": 0.5}]`, as llama-server takes them.

    Raises:
        ApiError: it is something else.
    """
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ApiError(400, 'Give adapters as [{"id": 0, "scale": 1.0}].', param=param)
    pairs = [(one.get("id"), one.get("scale")) for one in value]
    if not all(type(number) is int and _is_number(scale) for number, scale in pairs):
        raise ApiError(400, 'Give adapters as [{"id": 0, "scale": 1.0}].', param=param)
    return tuple((int(number), float(scale)) for number, scale in pairs if number is not None and scale is not None)


def _refuse_unknown(fields: Mapping[str, Any], kind: Kind) -> None:
    for name, value in fields.items():
        if name in _HARMLESS or name in _COMMON or name in _OWN[kind]:
            continue
        if name not in _ONLY:
            message = f"Unrecognized request argument supplied: {name[:80]!a}."
            raise ApiError(400, message, code="unknown_parameter", param=name[:80])
        if value not in _ONLY[name]:
            message = f"This server does not support {name} with this value. Leave it out."
            raise ApiError(400, message, code="unsupported_value", param=name)


def _typed(fields: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = fields.get(name, default)
    if not isinstance(value, kind):
        raise ApiError(400, f"{name} must be of type {kind.__name__}.", code="invalid_type", param=name)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _draw(fields: Mapping[str, Any]) -> Draw:
    chosen: dict[str, Any] = {}
    for table in (_NUMBERS, _WHOLE):
        for name, (key, least, most) in table.items():
            if name not in fields:
                continue
            value = fields[name]
            if not _is_number(value) or not least <= value <= most or (table is _WHOLE and type(value) is not int):
                what = "an integer" if table is _WHOLE else f"a number from {least:g} to {most:g}"
                raise ApiError(400, f"{name} must be {what}.", code="invalid_value", param=name)
            chosen[key] = value & 0xFFFFFFFF if name == "seed" else value
    if chosen.get("top_p") == 0:
        chosen["temperature"] = 0.0
    return Draw(**chosen)


def _logprobs(fields: Mapping[str, Any], chat: bool) -> int | None:
    if not chat:
        return _count(fields, "logprobs", 0, 5) if "logprobs" in fields else None
    wanted = _typed(fields, "logprobs", bool, False)
    if "top_logprobs" not in fields:
        return 0 if wanted else None
    if not wanted:
        raise ApiError(400, "top_logprobs needs logprobs: true.", code="invalid_value", param="top_logprobs")
    return _count(fields, "top_logprobs", 0, MOST_LOGPROBS)


def _count(fields: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = fields[name]
    if type(value) is not int or not least <= value <= most:
        message = f"{name} must be an integer from {least} to {most:,}."
        raise ApiError(400, message, code="invalid_value", param=name)
    return value


def _max_tokens(fields: Mapping[str, Any], chat: bool) -> int | None:
    for name in ("max_completion_tokens", "max_tokens") if chat else ("max_tokens",):
        if name in fields:
            return _count(fields, name, 1, 1 << 31)
    return None


def _stop(fields: Mapping[str, Any]) -> tuple[str, ...]:
    value = fields.get("stop", [])
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or len(texts) > MOST_STOPS or not all(isinstance(text, str) for text in texts):
        message = f"stop must be a text or a list of at most {MOST_STOPS} texts."
        raise ApiError(400, message, code="invalid_value", param="stop")
    return tuple(text for text in texts if text)


def _prompt(fields: Mapping[str, Any]) -> str:
    value = fields.get("prompt", "")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or not value:
        message = "prompt must be one text that is not empty."
        raise ApiError(400, message, code="invalid_value", param="prompt")
    return value


def _messages(fields: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    value = fields.get("messages")
    if not isinstance(value, list) or not 0 < len(value) <= MOST_MESSAGES:
        message = f"messages must be a list of 1 to {MOST_MESSAGES:,} messages."
        raise ApiError(400, message, code="invalid_value", param="messages")
    return tuple(_message(one, f"messages[{number}]") for number, one in enumerate(value))


def _message(value: Any, where: str) -> dict[str, str]:
    role = value.get("role") if isinstance(value, dict) else None
    if role not in _ROLES:
        allowed = ", ".join(_ROLES)
        raise ApiError(400, f"{where}: role must be one of {allowed}.", code="invalid_value", param=f"{where}.role")
    content = value.get("content")
    if isinstance(content, list):
        content = _joined(content, where)
    if not isinstance(content, str):
        message = f"{where}: content must be text, or a list of text parts."
        raise ApiError(400, message, code="invalid_value", param=f"{where}.content")
    return {"role": _ROLES[role], "content": content}


def _joined(parts: Sequence[Any], where: str) -> str | None:
    texts = [one.get("text") if isinstance(one, dict) and one.get("type") == "text" else None for one in parts]
    return "\n".join(map(str, texts)) if texts and all(isinstance(text, str) for text in texts) else None
