"""Base models with odd vocabularies: every kind that llama.cpp knows, sound or with one to four mistakes.

    path.write_bytes(base_file(random.Random("0 17")))

Each is a llama of one small layer whose weights are sound (seldom not), so that what goes wrong is the vocabulary's
doing, or the chat template's. Not here: what is done with them (fuzz_vocabularies.py).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from gguf_drafts import Draft, Key, Part, key, string, text

HIDDEN, WIDE = 32, 64
CONTROL, UNUSED, USER, BYTE, NORMAL = 3, 5, 4, 6, 1
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
)
TEMPLATES = (
    "", " ", "\n\n", "{{ '' }}", "{{ messages[5].content }}", "{% for %}", "{{ bos_token }}{{ eos_token }}",
    "{{ 'a' * 100000 }}", "{{ raise_exception('no') }}", "{% if messages[1] %}{{ raise_exception(0) }}{% endif %}x",
    "{{ 'a'.center(4000000000) }}", "{{ 1 / 0 }}", "\x00", "<s>" * 3000, "{{ messages[0].content[0:0] }}",
)  # fmt: skip
PRES = (
    "default", "llama-bpe", "gpt-2", "qwen2", "smollm", "chameleon", "deepseek-coder", "deepseek-llm", "falcon",
    "starcoder", "tekken", "gemma4", "sarvam-moe", "jais-2", "whitespace", "poro-chat", "command-r", "x", "",
    "minicpm5", "kimi-k2", "gpt-4o", "bloom", "viking", "exaone", "trillion", "jina-v2-de", "modern-bert",
)  # fmt: skip
KINDS = ("llama", "gpt2", "gemma4", "bert", "t5", "rwkv", "plamo2")
OTHERS = ("none", "no_vocab", "test", "hybriddna", "whitespace", "x", "")
WORDS = (
    "the",
    "in",
    "re",
    "on",
    "hello",
    "ing",
    "Straße",
    "日本",
    "привет",
    "é",
    "  ",
    "\n",
    "...",
    "user",
    "assistant",
)
PREFIXES = ("", " ", "##", "Ġ", "▁", "[", "<", "\n", "\0", "Ā")
NUMBERS = (0, 1, 2, 7, 100, 255, 320, 1 << 16, 1 << 31, (1 << 32) - 1)
FLOATS = (float("nan"), float("inf"), float("-inf"), 1e38, -1e38, 0.0, -1e6)


@dataclass
class Made:
    """A vocabulary before it is written; None leaves its entry out."""

    kind: str
    tokens: list[bytes]
    types: list[int] | None
    scores: list[float] | None = None
    merges: list[bytes] | None = None
    pre: str | None = None
    template: str | None = TEMPLATE
    more: list[Key] = field(default_factory=list)
    rows: int = 0  # of the embedding beyond the tokens
    numbers: float = 1.0  # that weights are multiplied by


def byte_letters() -> list[str]:
    """The letter that stands for each byte in GPT-2's vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(rest)) for byte in range(256)]


def hexadecimal() -> list[bytes]:
    return [b"<0x%02X>" % byte for byte in range(256)]


def sound(kind: str, dice: random.Random) -> Made:
    """A vocabulary as models of this kind have it."""
    words = [word.encode() for word in dice.sample(WORDS, dice.randint(3, len(WORDS)))]
    letters = [bytes([byte]) for byte in range(33, 127)]
    marked = ["▁".encode() + word for word in words]
    if kind in ("gpt2", "gemma4"):
        names = [b"<|endoftext|>", b"<|im_start|>", b"<|im_end|>"]
        alphabet = [letter.encode() for letter in byte_letters()] if kind == "gpt2" else hexadecimal() + letters
        pairs = [(a, b) for a, b in zip(letters[::3], letters[1::3], strict=False)]
        tokens = [*names, *alphabet, *(a + b for a, b in pairs)]
        types = [CONTROL] * 3 + [NORMAL if kind == "gpt2" or len(t) < 6 else BYTE for t in tokens[3:]]
        return Made(kind, tokens, types, merges=[a + b" " + b for a, b in pairs], pre=dice.choice(PRES[:10]))
    if kind == "rwkv":
        tokens = [b"<s>", *(repr(bytes([byte]))[2:-1].encode() for byte in range(256)), b"ing", b"the"]
        return Made(kind, tokens, [CONTROL] + [NORMAL] * (len(tokens) - 1))
    if kind == "bert":
        tokens = [b"[PAD]", *(b"[unused%d]" % at for at in range(99)), b"[UNK]", b"[CLS]", b"[SEP]", b"[MASK]"]
        tokens += ["▁".encode() + letter for letter in letters] + letters
        return Made(kind, tokens, [NORMAL] * 100 + [CONTROL] * 4 + [NORMAL] * (len(tokens) - 104))
    names = [b"<pad>", b"</s>", b"<unk>"] if kind == "t5" else [b"<unk>", b"<s>", b"</s>", b"<pad>"]
    middle = [] if kind == "t5" else hexadecimal()
    tokens = list(dict.fromkeys([*names, *middle, "▁".encode(), *letters, *words, *marked]))
    types = [CONTROL] * len(names) + [BYTE] * len(middle) + [NORMAL] * (len(tokens) - len(names) - len(middle))
    made = Made(kind, tokens, types, [-float(at) for at in range(len(tokens))])
    if kind == "t5" and dice.random() < 0.5:
        made.more.append(charsmap(dice, broken=False))
    return made


def charsmap(dice: random.Random, *, broken: bool) -> Key:
    """A chart of replacements: A becomes a; broken, it points anywhere or is noise."""
    nodes = [0] * 512
    nodes[0] = 256 << 10
    nodes[256 ^ 65] = ((256 ^ 65 ^ 400) << 10) | 1 << 8 | 65
    nodes[400] = 1 << 31
    texts = b"a\0"
    if broken:
        for _ in range(dice.randint(1, 4)):
            nodes[dice.choice((0, 256 ^ 65, 400, dice.randrange(512)))] = dice.getrandbits(32)
        nodes = nodes[: dice.choice((512, 512, 300, 1, 0))]
        texts = dice.choice((texts, b"a", b"", b"\0", dice.randbytes(8)))
    data = struct.pack("<I", 4 * len(nodes)) + struct.pack(f"<{len(nodes)}I", *nodes) + texts
    if broken and dice.random() < 0.3:
        data = dice.randbytes(dice.randrange(64))
    return key("tokenizer.ggml.precompiled_charsmap", 9, struct.pack("<IQ", dice.choice((0, 1)), len(data)) + data)


# -- mistakes


def odd_tokens(made: Made, dice: random.Random) -> None:
    """Some tokens, or all, by other names."""
    places = (
        range(len(made.tokens)) if dice.random() < 0.2 else dice.sample(range(len(made.tokens)), dice.randint(1, 9))
    )
    style = dice.randrange(8)
    for at in places:
        prefix = dice.choice(PREFIXES).encode()
        made.tokens[at] = (
            prefix + b"%d" % at, b" " * (at % 1000 + 1), dice.randbytes(dice.randint(0, 6)), b"", made.tokens[0],
            b"x" * dice.choice((255, 256, 300, 1024, 1025, 70000)), b"<0x%02X>" % (at % 256), b"a\0b%d" % at,
        )[style]  # fmt: skip


def fewer_tokens(made: Made, dice: random.Random) -> None:
    """A stretch of tokens less, in all lists or in one."""
    at = dice.randrange(len(made.tokens))
    cut = slice(at, at + dice.choice((1, 3, 100, 1000)))
    del made.tokens[cut]
    for other in (made.types, made.scores):
        if other and dice.random() < 0.8:
            del other[cut]


def odd_types(made: Made, dice: random.Random) -> None:
    if dice.random() < 0.2 or not made.types:
        made.types = None if dice.random() < 0.5 else [dice.choice((1, 3, 4, 6))] * len(made.tokens)
        return
    known = dice.random() < 0.7
    for at in dice.sample(range(len(made.types)), min(len(made.types), dice.choice((1, 5, 50, 1000)))):
        made.types[at] = dice.randint(0, 6) if known else dice.randint(-2, 9)


def odd_scores(made: Made, dice: random.Random) -> None:
    if dice.random() < 0.3:
        made.scores = None
        return
    scores = made.scores or [0.0] * len(made.tokens)
    for at in range(len(scores)) if dice.random() < 0.3 else dice.sample(range(len(scores)), min(len(scores), 5)):
        scores[at] = dice.choice(FLOATS)
    made.scores = scores


def odd_merges(made: Made, dice: random.Random) -> None:
    merges = made.merges or [b"a b"]
    choice = dice.randrange(6)
    if choice == 0:
        made.merges = None
    elif choice == 1:
        made.merges = []
    elif choice == 2:
        made.merges = [merge.replace(b" ", b"") for merge in merges]
    elif choice == 3:
        made.merges = [dice.choice((b"", b" ", b"  ", b"a  b", b"\xff \xff", b"a b c")) for _ in merges]
    elif choice == 4:
        made.merges = merges * 3
    else:
        made.merges = [b"x" * 50000 + b" y"]


def odd_specials(made: Made, dice: random.Random) -> None:
    names = ("bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "mask", "fim_pre")
    for name in dice.sample(names, dice.randint(1, 5)):
        number = dice.choice((*NUMBERS, len(made.tokens), len(made.tokens) - 1))
        kind = 4 if dice.random() < 0.9 else dice.choice((5, 6, 10))
        made.more.append(
            key(f"tokenizer.ggml.{name}_token_id", kind, struct.pack("<I", number) + bytes(4 * (kind == 10)))
        )


def odd_flags(made: Made, dice: random.Random) -> None:
    names = (
        "add_bos_token", "add_eos_token", "add_sep_token", "add_space_prefix", "remove_extra_whitespaces",
        "escape_whitespaces", "normalizer.lowercase", "normalizer.strip_accents",
    )  # fmt: skip
    for name in dice.sample(names, dice.randint(1, 5)):
        made.more.append(key(f"tokenizer.ggml.{name}", 7, bytes([dice.randint(0, 1)])))


def odd_pre(made: Made, dice: random.Random) -> None:
    made.pre = dice.choice((*PRES, None))


def odd_kind(made: Made, dice: random.Random) -> None:
    made.kind = dice.choice((*KINDS, *OTHERS))


def odd_template(made: Made, dice: random.Random) -> None:
    made.template = dice.choice((*TEMPLATES, None, None))


def odd_charsmap(made: Made, dice: random.Random) -> None:
    made.more = [one for one in made.more if b"charsmap" not in one[0]] + [charsmap(dice, broken=True)]


def odd_rest(made: Made, dice: random.Random) -> None:
    choice = dice.randrange(4)
    if choice == 0:
        made.rows = dice.choice((-1, 1, 50))
    elif choice == 1:
        made.numbers = dice.choice((float("nan"), float("inf"), 1e20, 0.0))
    elif choice == 2:
        made.more.append(text("general.name", dice.choice(("phi-3", "modern-bert", "x" * 3000))))
    else:
        ids = [dice.randrange(-2, 400) for _ in range(5)]
        made.more.append(key("tokenizer.ggml.suppress_tokens", 9, struct.pack("<IQ5i", 5, 5, *ids)))


MISTAKES: tuple[Callable[[Made, random.Random], None], ...] = (
    odd_tokens, odd_tokens, fewer_tokens, odd_types, odd_scores, odd_merges, odd_specials, odd_flags, odd_pre,
    odd_kind, odd_template, odd_charsmap, odd_rest,
)  # fmt: skip


# -- files


def base_file(dice: random.Random) -> bytes:
    """A base model's bytes."""
    made = sound(dice.choice(KINDS), dice)
    for mistake in dice.sample(MISTAKES, dice.choice((0, 1, 1, 2, 2, 3, 4))):
        mistake(made, dice)
    return written(made).content()


def _listed(name: str, kind: str, values: Sequence[float]) -> Key:
    number = {"i": 5, "f": 6}[kind]
    return key(name, 9, struct.pack(f"<IQ{len(values)}{kind}", number, len(values), *values))


def _texts(name: str, values: Sequence[bytes]) -> Key:
    return key(name, 9, struct.pack("<IQ", 8, len(values)) + b"".join(map(string, values)))


def written(made: Made) -> Draft:
    """The base model that has this vocabulary."""
    sizes = {
        "block_count": 1, "context_length": 1024, "embedding_length": HIDDEN, "feed_forward_length": WIDE,
        "attention.head_count": 2, "attention.head_count_kv": 2, "rope.dimension_count": HIDDEN // 2,
        "vocab_size": max(1, len(made.tokens) + made.rows),
    }  # fmt: skip
    keys = [text("general.architecture", "llama"), text("general.type", "model")]
    keys += [key(f"llama.{name}", 4, struct.pack("<I", value)) for name, value in sizes.items()]
    keys.append(key("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)))
    keys += [text("tokenizer.ggml.model", made.kind), _texts("tokenizer.ggml.tokens", made.tokens)]
    if made.types is not None:
        keys.append(_listed("tokenizer.ggml.token_type", "i", made.types))
    if made.scores is not None:
        keys.append(_listed("tokenizer.ggml.scores", "f", made.scores))
    if made.merges is not None:
        keys.append(_texts("tokenizer.ggml.merges", made.merges))
    if made.pre is not None:
        keys.append(text("tokenizer.ggml.pre", made.pre))
    if made.template is not None:
        keys.append(text("tokenizer.chat_template", made.template))
    keys += {name: (name, value) for name, value in made.more}.values()
    return Draft(keys, _parts(sizes["vocab_size"], made.numbers))


def _parts(rows: int, factor: float) -> list[Part]:
    shapes = {"token_embd": (rows, HIDDEN), "output_norm": (HIDDEN,), "blk.0.attn_norm": (HIDDEN,)}
    shapes |= {"blk.0.ffn_norm": (HIDDEN,)}
    shapes |= {f"blk.0.{name}": (HIDDEN, HIDDEN) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    shapes |= {"blk.0.ffn_gate": (WIDE, HIDDEN), "blk.0.ffn_up": (WIDE, HIDDEN), "blk.0.ffn_down": (HIDDEN, WIDE)}
    numbers = np.random.default_rng(0)
    parts = []
    for name, shape in shapes.items():
        data = numbers.normal(len(shape) == 1, 0.1, shape).astype(np.float32)
        if name == "blk.0.ffn_down":
            with np.errstate(all="ignore"):
                data = (data * np.float32(factor)).astype(np.float32)
        parts.append(Part(f"{name}.weight".encode(), shape[::-1], 0, data.tobytes()))
    return parts
