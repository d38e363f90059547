"""The paper's Algorithm 1 as it stands: how many words it keeps, and how well its coordinates select.

    python -m benchmarks algorithm1 --styles DIR --adapters DIR [--levels 90] [--models summarizer.gguf]

Adapters are those of one similarity that the benchmark `adapters` made, one a style; each lies where its answers to the
first PROBES probes do, read against the base's. Users are draws with replacement among a style's first POOL test rows,
read by the same question against the base's answers to the same prompts, and given the adapter at the smallest
Euclidean distance on the words' axes alone. Reads --styles, --adapters, --rows, --levels, --models, --threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.figures import share_text
from benchmarks.placement import Level, Reader, complete_levels
from benchmarks.report import table
from benchmarks.run import STYLES, Run, say
from benchmarks.store import Record
from xpert_cli import gguf
from xpert_cli.llama.model import Model
from xpert_cli.paper import two_answers
from xpert_cli.paper.basis import Basis, grow
from xpert_cli.paper.spelling import Speller
from xpert_cli.style import described
from xpert_cli.style.space import Floats

LEVEL, PROBES, POOL, CANDIDATES = 90, 20, 20, 80  # CANDIDATES: words of an adapter that are looked at, at most
USERS, SAMPLES = 10, 20
# Orthogonality and residual, tables 8 and 9 of the paper, with its accuracy at 90 %; above 1 every word is kept.
PAPER = {
    (0.01, 0.2): "-",
    (0.1, 0.2): "96.4 %",
    (0.5, 0.2): "60.7 %",
    (0.1, 0.02): "-",
    (0.1, 0.6): "14.3 %",
    (1.1, 0.02): "not tried",
}


@dataclass(frozen=True, eq=False)
class Readings:
    """All that one summarizer reads, neutral: V(a, b) - V(b, b).

    Attributes:
        adapters: (adapters, hidden) V of each adapter; users: (styles, USERS, hidden) V of each user.
        ranked: each adapter's likeliest words.
        vectors: word -> (hidden,), less the mean of the words that all words are taken from.
    """

    adapters: Floats
    users: Floats
    ranked: list[list[str]]
    vectors: Mapping[str, Floats]


@dataclass(frozen=True)
class Grown:
    """The basis over all adapters, the words looked at, and what each adapter's coordinates leave of it."""

    basis: Basis
    looked: int
    reached: int
    formula: list[float]
    least_squares: list[float]


def grown(readings: Readings, orthogonality: float, residual: float) -> Grown:
    """Algorithm 1 over the adapters in the catalogue's order; a word that was looked at is not looked at again."""
    basis, done, steps = Basis.empty(readings.adapters.shape[1]), set[str](), []
    for own, ranked in zip(readings.adapters, readings.ranked, strict=True):
        fresh = ((word, readings.vectors[word]) for word in ranked if word not in done)
        step = grow(basis, own, fresh, orthogonality=orthogonality, residual=residual)
        basis = step.basis
        done |= set(step.words)
        steps.append(step)
    reached = sum(step.reached for step in steps)
    return Grown(basis, len(done), reached, [one.formula for one in steps], [one.least_squares for one in steps])


def right(users: Floats, adapters: Floats) -> str:
    """Share of users whose nearest adapter is their style's, with Wilson's 95 % interval.

    Args:
        users: (styles, users, coordinates); adapters: (styles, coordinates).
    """
    distances = np.linalg.norm(users[:, :, None] - adapters[None, None], axis=-1)
    hits = int((distances.argmin(axis=-1) == np.arange(len(users))[:, None]).sum())
    return share_text(hits, users.shape[0] * users.shape[1], unit=" %")


def thresholds(run: Run) -> str:
    """What each pair of thresholds keeps and how well it selects, by summarizer; then the nearest V without words."""
    rows: list[tuple[object, ...]] = []
    for model in run.options.models or (run.base,):
        readings = read(run, model)
        for (orthogonality, residual), theirs in PAPER.items():
            one = grown(readings, orthogonality, residual)
            threshold = "every word" if orthogonality > 1 else orthogonality
            residuals = f"{np.mean(one.formula):.2f} / {np.mean(one.least_squares):.2f}"
            shares = [
                right(of(readings.users), of(readings.adapters))
                for of in (one.basis.coordinates, one.basis.least_squares)
            ]
            looked = f"{len(one.basis)} / {one.looked}"
            rows.append((model.stem, threshold, residual, looked, one.reached, residuals, *shares, theirs))
        whole = right(readings.users, readings.adapters)
        rows.append((model.stem, "no words: nearest V", None, None, None, None, whole, None, None))
    head = ("orthogonality", "residual", "kept / looked at", "adapters approximated", "left: formula / squares")
    return table(("summarizer", *head, "first is right: formula", "least squares", "paper, 90 %"), rows)


def read(run: Run, summarizer: Path) -> Readings:
    """Everything that one summarizer is asked, stored prompt by prompt."""
    levels = complete_levels(run)
    level = next((one for one in levels if one.similarity == LEVEL), levels[-1])
    key = [gguf.fingerprint(summarizer), two_answers.digest()]
    probes, rows = (_states(run, summarizer, key, some) for some in asked(run, level))
    draw = np.random.default_rng(0)
    users = [rows[draw.integers(0, len(rows), (USERS, SAMPLES)), style].mean(axis=1) for style in range(len(STYLES))]
    adapters = probes.mean(axis=0)
    ranked = ranked_words(run, summarizer, key, asked(run, level)[0])
    words = list(
        dict.fromkeys([*two_answers.anchors(), two_answers.ORDINARY, *(one for some in ranked for one in some)])
    )
    states = run.store.array("words", [*key, words], lambda: _worded(summarizer, words))
    centre = states[[words.index(word) for word in two_answers.anchors()]].mean(axis=0)
    return Readings(adapters, np.stack(users), ranked, dict(zip(words, states - centre, strict=True)))


Asked = tuple[str, str, list[str]]  # a prompt, the base's answer, and one answer of each style


def asked(run: Run, level: Level) -> tuple[list[Asked], list[Asked]]:
    """What is asked about: the adapters' answers to probes, and the users' test rows."""
    plain, *styled = Reader(run).answers(level)
    about = [
        (probe, plain[i], [answers[i] for answers in styled]) for i, probe in enumerate(described.probes()[:PROBES])
    ]
    tests = [run.rows(f"{style}_test")[:POOL] for style in STYLES]
    prompts = [message.prompt for message in tests[0]]
    made_of = {"base": run.fingerprint, "prompts": prompts}
    base = run.store.record("plain", made_of, lambda: {"answers": two_answers.answered(run.base, prompts)})["answers"]
    return about, [(prompts[i], base[i], [test[i].response for test in tests]) for i in range(POOL)]


def _states(run: Run, summarizer: Path, key: Sequence[str], some: Sequence[Asked]) -> Floats:
    """(prompts, styles, hidden) neutral states."""
    states = []
    for number, (prompt, plain, answers) in enumerate(some):

        def ask(prompt: str = prompt, plain: str = plain, answers: Sequence[str] = answers) -> Floats:
            prompts, plains = [prompt] * len(answers), [plain] * len(answers)
            with two_answers.opened(summarizer) as model:
                ab = two_answers.states(model, prompts, answers, plains, "ab")
                bb = two_answers.states(model, prompts[:1], plains[:1], plains[:1], "bb")
            return two_answers.neutral(ab, bb)

        say(f"two answers: {number + 1} of {len(some)}")
        states.append(run.store.array("pair", [*key, prompt, plain, answers], ask))
    return np.stack(states)


def ranked_words(run: Run, summarizer: Path, key: Sequence[str], about: Sequence[Asked]) -> list[list[str]]:
    """The likeliest words of each adapter, in descending probability."""

    def spell() -> Record:
        with two_answers.opened(summarizer) as model:
            means = _raw_means(model, about)
            speller = Speller(model)
            return {"words": [list(islice(speller.ranked(mean), CANDIDATES)) for mean in means]}

    made_of = {"key": list(key), "about": [[prompt, plain, answers] for prompt, plain, answers in about]}
    words: list[list[str]] = run.store.record(f"words-{key[0][:12]}", made_of, spell)["words"]
    return words


def _raw_means(model: Model, about: Sequence[Asked]) -> Floats:
    """(styles, hidden) mean states of the question how the styled answer differs."""
    states = [
        two_answers.states(model, [prompt] * len(answers), answers, [plain] * len(answers), "ab")
        for prompt, plain, answers in about
    ]
    return np.asarray(np.mean(states, axis=0))


def _worded(summarizer: Path, words: Sequence[str]) -> Floats:
    """(words, hidden) states of answers that only state a style."""
    size = two_answers.SEQUENCES
    with two_answers.opened(summarizer) as model:
        parts = [two_answers.worded(model, words[at : at + size], "ab") for at in range(0, len(words), size)]
    return np.concatenate(parts)


PARTS = {"thresholds": thresholds}
