"""A GGUF model opened in llama.cpp: its context, the adapters on it, and one batch of tokens at a time.

The base stays memory-mapped while adapters come and go (`Llama(lora_path=...)` of llama-cpp-python would turn the
mapping off, so the C API is used directly). One thread at a time. Not here: what is asked of a model
(llama/model.py), tokens and chat templates (llama/vocabulary.py).
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xpert_cli import gguf, platform
from xpert_cli.counts import counted
from xpert_cli.errors import BadModel
from xpert_cli.llama.memory import BATCH, SMALL_BATCH, Layout, fitted, room_for_copies
from xpert_cli.llama.vocabulary import Vocabulary
from xpert_cli.paths import identity

Floats = npt.NDArray[np.float32]
EVERY = 1.0  # seconds between two looks at what other programs leave


class Context(Vocabulary):
    """A GGUF model in llama.cpp, and adapters on it: what every forward pass needs.

    Args:
        source: the GGUF file, or the model opened; its header is checked before llama.cpp sees it.
        context: tokens that fit in all sequences together.
        sequences: how many texts can be worked on at once.
        outputs: positions a batch may return (logits need 4 bytes x vocabulary each); by default the last of each
            sequence, to go on from.
        threads: cores to use; by default those that other programs leave, looked at again every second. Losses and
            states do not depend on it. What is generated may: the fused attention, which prompts are read with, rounds
            by how many threads share 64 tokens or more.
        least: tokens of context to go down to where memory is short; `note` then says so. Sequences that have a part of
            the context each get fewer in any case.
        lean: take little memory: no copies of the weights, and a quarter of the tokens worked on at once. By default,
            no copies where memory is short (`llama/memory.py`).
        shared: one pool of context for all sequences, so that they can share a prefix (`Model.states`); without it each
            has its own part, and attention does not walk over the others' tokens (`Model.answers`).

    Raises:
        BadModel: llama.cpp cannot load the file.
    """

    def __init__(
        self,
        source: Path | gguf.BaseModel,
        *,
        context: int = 2048,
        sequences: int = 1,
        outputs: int = 0,
        threads: int | None = None,
        least: int | None = None,
        lean: bool | None = None,
        shared: bool = False,
    ) -> None:
        self._context: Any = None
        self._adapters: dict[tuple[str, int, int], Any] = {}  # by the identity of their files
        self._held: list[int] = []  # the tokens sequence 0 still holds, for a conversation that goes on
        base = gguf.BaseModel.open(source)
        layout = Layout(context, sequences, min(BATCH, context), outputs or sequences)
        if least or (sequences > 1 and not shared):
            layout = fitted(base.header, layout, least=least or context, shared=shared)
        self.note = layout.note
        super().__init__(base, weights=True, copied=room_for_copies(base.path) if lean is None else not lean)
        self.hidden_size: int = self._lib.llama_model_n_embd(self._model)
        self.threads = threads or platform.free_cores(lately=True)
        self._adapts = threads is None
        self._looked = self._ended = time.monotonic()  # at what others do; the last pass
        params = self._params(layout, shared)
        if outputs or shared:  # for losses and states
            params.flash_attn_type = self._lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        if lean or outputs or shared:
            params.n_ubatch = min(SMALL_BATCH, params.n_ubatch)
        self._open_context(layout, params)

    def _open_context(self, layout: Layout, params: Any) -> None:
        lib = self._lib
        self._context = lib.llama_init_from_model(self._model, params)
        if not self._context:
            self.close()
            raise BadModel(
                f"{self.path}: not enough memory for {layout.context} tokens of context. "
                "Close other programs or use a smaller model."
            )
        self.context, self.sequences, self.outputs = layout.context, layout.sequences, layout.outputs
        self._batch_size = int(params.n_batch)
        self._batch = lib.llama_batch_init(self._batch_size, self._fed_size, 1)
        self._memory = lib.llama_get_memory(self._context)

    @property
    def _fed_size(self) -> int:
        """Numbers of what is fed for a token; 0 for tokens themselves."""
        return 0

    def _params(self, layout: Layout, shared: bool) -> Any:
        params = self._lib.llama_context_default_params()
        params.n_ctx = layout.context
        params.n_batch = params.n_ubatch = min(layout.batch, layout.context)
        params.n_seq_max = layout.sequences
        params.n_outputs_max = layout.outputs
        params.n_threads = params.n_threads_batch = self.threads
        params.kv_unified = shared
        params.pooling_type = 0  # none: llama.cpp aborts on a file that tells one it does not know
        params.no_perf = True
        return params

    def close(self) -> None:
        """Free everything; the model cannot be used afterwards."""
        lib = self._lib
        for adapter in self._adapters.values():
            lib.llama_adapter_lora_free(adapter)
        self._adapters = {}
        if self._context:
            lib.llama_batch_free(self._batch)
            lib.llama_free(self._context)
            self._context = None
        super().close()

    # -- adapters

    def apply(self, adapters: Sequence[gguf.WeightedAdapter]) -> None:
        """Put adapters on the base, each at a weight (1.0 is as trained); an empty list gives the base back.

        Raises:
            BadModel: a file is no adapter of this base.
        """
        handles = [self._adapter(one.file) for one in adapters]
        array = (self._lib.llama_adapter_lora_p_ctypes * max(1, len(handles)))(*handles)
        scales = (ctypes.c_float * max(1, len(handles)))(*(one.weight for one in adapters))
        self._held = []
        if self._lib.llama_set_adapters_lora(self._context, array, len(handles), scales):
            raise BadModel("llama.cpp refused these adapters together. Merge them first with: xpert merge")

    def _adapter(self, file: gguf.AdapterFile) -> Any:
        try:
            key = identity(file.path)
        except OSError as error:
            raise BadModel(f"{file.path}: {error.strerror}. Give the path of an adapter GGUF file.") from error
        if key not in self._adapters:
            gguf.check_adapter(file, self.base)
            handle = self._lib.llama_adapter_lora_init(self._model, str(file.path).encode())
            if not handle:
                raise BadModel(f"{file.path}: llama.cpp cannot load this adapter. Is it made for {self.path.name}?")
            self._adapters[key] = handle
        return self._adapters[key]

    # -- forward passes

    def _adapt(self) -> None:
        """Go on with as many threads as other programs leave cores, if that has changed."""
        if self._adapts and time.monotonic() - self._looked > EVERY:
            self._looked = time.monotonic()
            if (threads := platform.free_cores(lately=self._looked - self._ended > EVERY)) != self.threads:
                self.threads = threads
                self._lib.llama_set_n_threads(self._context, threads, threads)

    def _decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        """One llama_decode over rows of (token, position, sequence, wanted)."""
        self._adapt()
        batch = self._batch
        for i, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
            batch.seq_id[i][0], batch.logits[i] = sequence, wanted
        self._evaluate(len(rows))

    def _evaluate(self, count: int) -> None:
        """One llama_decode of the first `count` tokens of the batch."""
        self._batch.n_tokens = count
        status = self._lib.llama_decode(self._context, self._batch)
        self._ended = time.monotonic()
        if status:
            raise BadModel(
                f"llama.cpp could not evaluate {counted(count, 'tokens')} (status {status}). "
                "Use shorter text or a larger context."
            )

    def _clear(self) -> None:
        self._held = []
        self._lib.llama_memory_clear(self._memory, False)

    def _logits(self, row: int) -> Floats:
        pointer = self._lib.llama_get_logits_ith(self._context, row)
        return np.ctypeslib.as_array(pointer, shape=(self.vocabulary_size,))

    def _feed(self, tokens: Sequence[int], sequence: int, first: int = 0) -> None:
        """Evaluate `tokens` from position `first` on in a sequence that holds those before it."""
        for start in range(first, len(tokens), self._batch_size):
            chunk = tokens[start : start + self._batch_size]
            self._decode([(token, start + i, sequence, i == len(chunk) - 1) for i, token in enumerate(chunk)])

    def _share_prefix(self, tokens: Sequence[int], sequences: int) -> None:
        """Clear the memory and put `tokens` at the start of the first `sequences` sequences, evaluated once."""
        self._clear()
        self._feed(tokens, 0)
        for sequence in range(1, sequences):
            self._lib.llama_memory_seq_cp(self._memory, 0, sequence, -1, -1)
