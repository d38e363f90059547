"""One thread that owns the model and answers requests: waiting ones queue fairly, running ones are decoded together.

    engine = Engine(base, context=2048, slots=4)
    job = engine.submit(Job(tokens, adapters, draw, limit=64, client="127.0.0.1"))
    async for piece in job.pieces(): ...
    engine.cancel(job)                                  # the client went away: its slot is free at the next token

Clients take turns for free slots, so that one with many requests does not hold up one with few. Nothing of a request
is kept when it ends but what its slot evaluated. Not here: the slots themselves (llama/slots.py), HTTP (serve/app.py).
"""

from __future__ import annotations

import asyncio
import codecs
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from xpert_cli.counts import counted
from xpert_cli.errors import BadModel, XpertError
from xpert_cli.gguf import BaseModel
from xpert_cli.llama.chat import CONTEXT, LEAST_CONTEXT
from xpert_cli.llama.slots import AdapterSet, Draw, Slots, Token
from xpert_cli.serve.api import ApiError

WAKE = 0.1  # seconds: pieces of an answer that come faster are sent together; each sending halts a decoding thread


@dataclass(frozen=True)
class Scored:
    """A token with its log-probability, and the likeliest ones in its place."""

    token: bytes
    logprob: float
    likeliest: tuple[tuple[bytes, float], ...]


@dataclass(frozen=True)
class Piece:
    """Some text of an answer; the last piece has `finish`: "stop" or "length"."""

    text: str
    scored: tuple[Scored, ...] = ()
    finish: str = ""


@dataclass(eq=False)
class Job:
    """A request on its way through the engine.

    Attributes:
        limit: tokens of the answer at most.
        stop: texts that end the answer and are not part of it.
        client: who asks; clients take turns.
        cached: prompt tokens that were not evaluated again, known once the answer begins.
        generated: tokens of the answer so far.
    """

    tokens: Sequence[int]
    adapters: AdapterSet
    draw: Draw
    limit: int
    stop: tuple[str, ...] = ()
    client: str = ""
    cached: int = 0
    generated: int = 0
    gone: bool = False
    error: Exception | None = None
    _pieces: deque[Piece] = field(default_factory=deque)
    _loop: asyncio.AbstractEventLoop | None = None
    _event: asyncio.Event | None = None
    _woken: float = 0.0
    _decoder: codecs.IncrementalDecoder = field(default_factory=codecs.getincrementaldecoder("utf-8"))
    _held: str = ""  # text that may be the beginning of a stop text

    def __post_init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def pieces(self) -> AsyncIterator[Piece]:
        """The answer as it comes; what was drawn since the last piece comes as one.

        Raises:
            XpertError: the answer failed.
        """
        assert self._event is not None
        while not self.gone:
            await self._event.wait()
            self._event.clear()
            batch = []
            while self._pieces:
                batch.append(self._pieces.popleft())
            if batch:
                scored = tuple(one for piece in batch for one in piece.scored)
                yield Piece("".join(piece.text for piece in batch), scored, batch[-1].finish)
                if batch[-1].finish:
                    return
            if self.error is not None:
                raise self.error

    # -- in the engine's thread

    def take(self, token: Token, slots: Slots) -> bool:
        """Add a drawn token to the answer; whether the answer is complete."""
        self.generated += not token.end
        piece = b"" if token.end else slots.piece(token.id)
        full = self.generated >= self.limit
        self._held += self._decoder.decode(piece, final=token.end or full)
        finish = "stop" if token.end else "length" if full else ""
        at = min((place for text in self.stop if (place := self._held.find(text)) >= 0), default=-1)
        if at >= 0:
            self._held, finish = self._held[:at], "stop"
        length = len(self._held) if finish else len(self._held) - self._may_stop()
        text, self._held = self._held[:length], self._held[length:]
        scored = () if token.logprob is None or token.end else (_scored(token, slots),)
        if text or scored or finish:
            self._pieces.append(Piece(text, scored, finish))
        self.wake(bool(finish))
        return bool(finish)

    def _may_stop(self) -> int:
        """Length of the longest end of the held text with which a stop text begins."""
        most = max((len(text) for text in self.stop), default=1) - 1
        sizes = range(min(most, len(self._held)), 0, -1)
        return next((n for n in sizes if any(text.startswith(self._held[-n:]) for text in self.stop)), 0)

    def fail(self, error: Exception) -> None:
        """End the answer with an error."""
        self.error = error
        self.wake(True)

    def wake(self, now: bool) -> None:
        """Tell the event loop that there is something to send; at once, or no more often than every WAKE seconds."""
        moment = time.monotonic()
        if self._loop is None or self._event is None or not (now or moment - self._woken >= WAKE):
            return
        self._woken = moment
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:  # the loop was closed: nobody waits for the answer
            self.gone = True


def _scored(token: Token, slots: Slots) -> Scored:
    likeliest = tuple((slots.piece(index), logprob) for index, logprob in token.likeliest)
    return Scored(slots.piece(token.id), token.logprob or 0.0, likeliest)


@dataclass
class Counts:
    """What the engine has done since it started."""

    answered: int = 0
    failed: int = 0
    left: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0


class Engine:
    """The model of a server, in a thread of its own.

    Args:
        context: tokens of one request, prompt and answer; fewer where memory is short, and `note` then says so.
        slots: answers that are worked on at once; fewer where memory is short.
        queue: requests that may wait.

    Raises:
        BadModel: the model cannot be loaded.
    """

    def __init__(
        self,
        base: BaseModel,
        *,
        context: int | None = None,
        slots: int = 4,
        queue: int = 128,
        threads: int | None = None,
    ) -> None:
        size = (context or CONTEXT) * slots
        self.model = Slots(base, context=size, sequences=slots, threads=threads, least=context or LEAST_CONTEXT)
        self.note, self.counts, self._queue = self.model.note, Counts(), queue
        self._waiting: dict[str, deque[Job]] = {}  # by client, the one whose turn it is first
        self._running: dict[int, Job] = {}
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="xpert-engine", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return sum(map(len, list(self._waiting.values())))

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return len(self._running)

    @property
    def alive(self) -> bool:
        """Whether requests are still answered."""
        return self._thread.is_alive()

    def submit(self, job: Job) -> Job:
        """Put a request into the queue; called from an event loop, which the answer's pieces come to.

        Raises:
            ApiError: too many wait already, or the engine has stopped.
        """
        job._loop, job._event = asyncio.get_running_loop(), asyncio.Event()
        with self._changed:
            if self._closed:
                raise ApiError(503, "The server is shutting down.")
            if self.waiting >= self._queue:
                raise ApiError(
                    429, f"{counted(self.waiting, 'requests are')} waiting already. Try again later.", code="queue_full"
                )
            self._waiting.setdefault(job.client, deque()).append(job)
            self._changed.notify()
        return job

    def cancel(self, job: Job) -> None:
        """Forget a request: nobody waits for its answer any more. Nothing happens to one that is complete."""
        with self._changed:
            job.gone = True
            if job.client in self._waiting and job in self._waiting[job.client]:
                self._waiting[job.client].remove(job)
                self.counts.left += 1
                if not self._waiting[job.client]:
                    del self._waiting[job.client]
            self._changed.notify()

    def close(self) -> None:
        """Stop answering, and free the model; nothing of it may be used any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self.model.close()

    # -- the thread

    def _work(self) -> None:
        error: Exception = ApiError(503, "The server is shutting down.")
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or self._waiting or self._running)
                    if self._closed:
                        break
                self._begin()
                self._step()
        except BaseException as reason:  # a bug: every client hears of it, and /health says that no more is answered
            error = ApiError(500, f"The engine stopped: {type(reason).__name__}: {reason}")
            raise
        finally:
            with self._changed:
                self._closed = True
                unfinished = [*self._running.values(), *(job for jobs in self._waiting.values() for job in jobs)]
                self._running, self._waiting = {}, {}
            for job in unfinished:
                job.fail(error)

    def _next(self) -> Job | None:
        """The request whose turn it is; its client goes to the end of the row."""
        with self._changed:
            if not self._waiting:
                return None
            client = next(iter(self._waiting))
            jobs = self._waiting.pop(client)
            job = jobs.popleft()
            if jobs:
                self._waiting[client] = jobs
            return job

    def _begin(self) -> None:
        """Give free slots to waiting requests."""
        while self.model.idle() and (job := self._next()) is not None:
            try:
                slot, job.cached = self.model.start(job.tokens, job.adapters, job.draw)
            except (XpertError, OSError) as error:
                self.counts.failed += 1
                job.fail(error)
                continue
            self._running[slot] = job
            self.counts.prompt_tokens += len(job.tokens)
            self.counts.cached_tokens += job.cached

    def _step(self) -> None:
        """One pass of the model, and its tokens to their requests."""
        for slot, job in list(self._running.items()):
            if job.gone:
                self.counts.left += 1
                self._end(slot)
        began = time.monotonic()
        try:
            drawn = self.model.step()
        except BadModel as error:
            for slot, job in list(self._running.items()):
                self.counts.failed += 1
                self._end(slot)
                job.fail(error)
            self.model.forget()
            return
        self.counts.seconds += time.monotonic() - began
        for token in drawn:
            job = self._running[token.slot]
            self.counts.generated_tokens += not token.end
            if job.take(token, self.model):
                self.counts.answered += 1
                self._end(token.slot)

    def _end(self, slot: int) -> None:
        self.model.stop(slot)
        del self._running[slot]
