"""BLEU and ROUGE of what the base, scratch and the warm-started adapter answer, where their losses are the same.

    pip install -c constraints.txt sacrebleu rouge-score
    python -m benchmarks answers --styles DIR --adapters DIR [--of-styles 1,4] [--levels 90]

Asks the adapters that the benchmark `warmstart` stored, each where its run was first at the target, what they answer to
test prompts, and compares with the style's own answers. Trains nothing itself. Reads what `warmstart` reads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean

from benchmarks.figures import estimate
from benchmarks.report import table
from benchmarks.run import Run, say
from benchmarks.store import Missing, Record
from benchmarks.warmstart import CHECKED, STYLES, Warmstart
from xpert_cli.gguf import WeightedAdapter
from xpert_cli.llama.model import Model
from xpert_cli.paths import digest

ANSWER = 128  # tokens
SEQUENCES = 8
ARMS = ("base", "scratch", "selected")


@dataclass(frozen=True)
class Scores:
    """Of one model's answers, in per cent: BLEU of all, F of ROUGE-1 and ROUGE-L of each."""

    bleu: float
    rouge1: tuple[float, ...]
    rouge_l: tuple[float, ...]


@dataclass(frozen=True)
class User:
    """One user at one similarity: the arms' test losses where they are first at the target, and their scores."""

    style: int
    level: int
    losses: dict[str, float]
    scores: dict[str, Scores]


def scored(answers: Sequence[str], references: Sequence[str]) -> Scores:
    """Corpus BLEU (Papineni et al. 2002, sacreBLEU's default), F of ROUGE-1 and ROUGE-L (Lin 2004)."""
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    each = [scorer.score(reference, answer) for reference, answer in zip(references, answers, strict=True)]
    one, longest = (tuple(100 * pair[name].fmeasure for pair in each) for name in ("rouge1", "rougeL"))
    return Scores(sacrebleu.corpus_bleu(list(answers), [list(references)]).score, one, longest)


def answers_of(run: Run, warmstart: Warmstart, style: int, adapter: Path | None) -> Scores:
    """The scores of greedy answers to the first test prompts of a style, stored by the adapter's digest."""
    rows = warmstart.rows(str(style), "test")[:CHECKED]
    made_of = {"style": style, "adapter": digest(adapter) if adapter else None, "rows": CHECKED, "tokens": ANSWER}

    def measure() -> Record:
        size = SEQUENCES * (ANSWER + 256)
        with Model(run.base, context=size, sequences=SEQUENCES, threads=run.options.threads) as model:
            model.apply([WeightedAdapter.open(adapter)] if adapter else [])
            prompts = [model.chat(row.prompt or "") for row in rows]
            tokens = model.answers(prompts, max_tokens=ANSWER, temperature=0.0)
            return {"answers": [model.detokenize(answer) for answer in tokens]}

    name = f"{style}-{adapter.stem if adapter else 'base'}"
    return scored(run.store.record(name, made_of, measure)["answers"], [row.response for row in rows])


def users(run: Run) -> list[User]:
    """The users whose runs are stored."""
    stored = dataclasses.replace(run.options, stored=True)
    warmstart, outcomes = Warmstart(Run("warmstart", stored)), []
    for style, level in product(run.options.of_styles or STYLES, run.options.levels):
        try:
            outcome = warmstart.outcome(str(style), level, warmstart.user)
        except Missing as error:
            say(f"style {style} at {level} % is left out: there is no {error}")
            continue
        arms = {"scratch": outcome.scratch, "selected": outcome.warm}
        files = {name: warmstart.run.store.file(f"{arm.run}.gguf") for name, arm in arms.items()}
        scores = {name: answers_of(run, warmstart, style, file) for name, file in {"base": None, **files}.items()}
        outcomes.append(User(style, level, {name: arm.test for name, arm in arms.items()}, scores))
    return outcomes


def means(run: Run) -> str:
    """All users' means of base / scratch / selected, and selected - scratch with its 95 % interval over prompts."""
    rows, everybody = [], users(run)
    for level in sorted({user.level for user in everybody}):
        there = [user.scores for user in everybody if user.level == level]
        row = [f"{level} %", " / ".join(f"{mean(one[arm].bleu for one in there):.1f}" for arm in ARMS)]
        for each in (
            {arm: [value for one in there for value in one[arm].rouge1] for arm in ARMS},
            {arm: [value for one in there for value in one[arm].rouge_l] for arm in ARMS},
        ):
            apart = estimate([own - other for own, other in zip(each["selected"], each["scratch"], strict=True)])
            row.append(" / ".join(f"{mean(values):.1f}" for values in each.values()))
            row.append(f"{apart.middle:+.1f} ({apart.low:+.1f} to {apart.high:+.1f})")
        rows.append(row)
    return table(("similarity", "BLEU", "ROUGE-1", "selected - scratch", "ROUGE-L", "selected - scratch"), rows)


PARTS = {"means": means}
