"""Answers as OpenAI writes them: whole, or as a stream of server-sent events.

    body = whole(request, answer)                       # a chat.completion or text_completion object
    chunks = Chunks(request, "me", number)
    chunks.chunk(piece)                                 # b'data: {...}\\n\\n'

Not here: what is asked (serve/api.py), HTTP (serve/app.py).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from xpert_cli.serve.api import ApiError, Request
from xpert_cli.serve.engine import Job, Piece, Scored

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Answer:
    """A complete answer: its text, why it ended, and what it took."""

    piece: Piece
    usage: dict[str, Any]


def usage(job: Job) -> dict[str, Any]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": len(job.tokens),
        "completion_tokens": job.generated,
        "total_tokens": len(job.tokens) + job.generated,
        "prompt_tokens_details": {"cached_tokens": job.cached},
    }


def whole(request: Request, model: str, answer: Answer) -> dict[str, Any]:
    """A chat.completion or text_completion object."""
    piece = answer.piece
    choice: dict[str, Any] = {"index": 0, "finish_reason": piece.finish, "logprobs": _logprobs(request, piece.scored)}
    if request.kind == "chat":
        choice["message"] = {"role": "assistant", "content": piece.text, "refusal": None}
        return {**_head("chat.completion", "chatcmpl", model), "choices": [choice], "usage": answer.usage}
    return {
        **_head("text_completion", "cmpl", model),
        "choices": [{**choice, "text": piece.text}],
        "usage": answer.usage,
    }


class Chunks:
    """The events of one stream."""

    def __init__(self, request: Request, model: str) -> None:
        self._request, self._chat = request, request.kind == "chat"
        kind, prefix = ("chat.completion.chunk", "chatcmpl") if self._chat else ("text_completion", "cmpl")
        self._common = _head(kind, prefix, model)
        self._written = 0  # characters of the tokens so far, which OpenAI's offsets count
        if request.stream_usage:
            self._common["usage"] = None

    def first(self) -> bytes:
        """The event that says who speaks; nothing for a completion."""
        if not self._chat:
            return b""
        return self._event({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None})

    def chunk(self, piece: Piece) -> bytes:
        """The events of a piece: its text, and at the end why it ended."""
        logprobs = _logprobs(self._request, piece.scored, self._written)
        self._written += sum(len(_text(one.token)) for one in piece.scored)
        if not self._chat:
            choice = {"index": 0, "text": piece.text, "logprobs": logprobs, "finish_reason": piece.finish or None}
            return self._event(choice)
        events = b""
        if piece.text or logprobs:
            delta = {"content": piece.text}
            events = self._event({"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": None})
        if piece.finish:
            events += self._event({"index": 0, "delta": {}, "logprobs": None, "finish_reason": piece.finish})
        return events

    def last(self, job: Job) -> bytes:
        """What ends the stream: the usage where it was asked for, and [DONE]."""
        if not self._request.stream_usage:
            return DONE
        return _data({**self._common, "choices": [], "usage": usage(job)}) + DONE

    def failed(self, error: ApiError) -> bytes:
        """An error in the middle of a stream."""
        return _data(error.body) + DONE

    def _event(self, choice: dict[str, Any]) -> bytes:
        return _data({**self._common, "choices": [choice]})


def _data(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _head(kind: str, prefix: str, model: str) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": None,
    }


def _logprobs(request: Request, scored: Sequence[Scored], written: int = 0) -> dict[str, Any] | None:
    """OpenAI's logprobs of tokens that come after `written` characters of the answer."""
    if request.draw.logprobs is None:
        return None
    if request.kind == "chat":
        content = [
            {**_token(one.token, one.logprob), "top_logprobs": [_token(*other) for other in one.likeliest]}
            for one in scored
        ]
        return {"content": content, "refusal": None}
    tokens = [_text(one.token) for one in scored]
    return {
        "tokens": tokens,
        "text_offset": list(accumulate(map(len, tokens), initial=written))[:-1],
        "token_logprobs": [one.logprob for one in scored],
        "top_logprobs": [{_text(token): logprob for token, logprob in one.likeliest} for one in scored],
    }


def _token(token: bytes, logprob: float) -> dict[str, Any]:
    return {"token": _text(token), "logprob": logprob, "bytes": list(token)}


def _text(token: bytes) -> str:
    return token.decode("utf-8", "replace")
