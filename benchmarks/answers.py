"""Do answers suffer from a warm start? BLEU and ROUGE of what scratch and the selected adapter write at one loss.

    pip install -c constraints.txt sacrebleu rouge-score
    python benchmarks/answers.py --styles DIR --adapters DIR [--styles-only 1,4] [--levels 90] [--report FILE]

Asks the adapters that benchmarks/warmstart.py left in its --out, each where its run was first at the target, what they
answer to test prompts, and compares with the style's own answers. Runs nothing of the warm start itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from _common import Bench, numbers, stored, table, write_report
from _outcomes import PAPER
from warmstart import CHECKED, Missing, Warmstart

from xpert_cli import platform
from xpert_cli.llama.model import Model
from xpert_cli.paths import digest

ANSWER = 128  # tokens
SEQUENCES = 8
ARMS = ("base", "scratch", "selected")


@dataclass(frozen=True)
class Answered:
    """Scores of one model's answers, in per cent: BLEU of all, ROUGE of each."""

    bleu: float
    rouge1: tuple[float, ...]
    rouge_l: tuple[float, ...]

    @property
    def told(self) -> list[str]:
        """BLEU, mean ROUGE-1 and mean ROUGE-L, to one decimal."""
        return [f"{self.bleu:.1f}", f"{mean(self.rouge1):.1f}", f"{mean(self.rouge_l):.1f}"]


@dataclass(frozen=True)
class User:
    """One user at one similarity: test losses where the arms are first at the target, and all models' answers."""

    style: str
    level: int
    losses: tuple[float, float]
    base: Answered
    scratch: Answered
    selected: Answered


def scores(answers: Sequence[str], references: Sequence[str]) -> Answered:
    """Corpus BLEU (Papineni et al. 2002, sacreBLEU's default), F of ROUGE-1 and ROUGE-L (Lin 2004)."""
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    each = [scorer.score(reference, answer) for reference, answer in zip(references, answers, strict=True)]
    one, longest = (tuple(100 * pair[name].fmeasure for pair in each) for name in ("rouge1", "rougeL"))
    return Answered(sacrebleu.corpus_bleu(list(answers), [list(references)]).score, one, longest)


def asked(warmstart: Warmstart, style: str, adapter: Path | None) -> Answered:
    """The scores of greedy answers to the first test prompts of a style, kept by the adapter's digest."""
    rows = warmstart.rows(style, "test")[:CHECKED]
    identity = {"style": style, "adapter": digest(adapter) if adapter else None, "rows": CHECKED, "tokens": ANSWER}

    def measure() -> dict[str, Any]:
        size = SEQUENCES * (ANSWER + 256)
        with Model(warmstart.bench.base, context=size, sequences=SEQUENCES, threads=warmstart.bench.threads) as model:
            model.apply([(adapter, 1.0)] if adapter else [])
            prompts = [model.chat(row.prompt or "") for row in rows]
            tokens = model.answers(prompts, max_tokens=ANSWER, temperature=0.0)
            return {"answers": [model.detokenize(answer) for answer in tokens]}

    name = f"answers-{style}-{adapter.stem if adapter else 'base'}"
    answers = stored(warmstart.out / f"{name}.json", identity, measure)["answers"]
    return scores(answers, [row.response for row in rows])


def measured(warmstart: Warmstart, style: str, level: int) -> User:
    """Base, scratch and selected adapter of one user.

    Raises:
        Missing: a run that is not there.
    """
    outcome = warmstart.outcome(style, level, warmstart.user)
    arms = [warmstart.out / f"{arm.run}.gguf" for arm in (outcome.scratch, outcome.warm)]
    for path in arms:
        if not path.exists():
            raise Missing(path.name)
    base, scratch, selected = (asked(warmstart, style, path) for path in (None, *arms))
    return User(style, level, (outcome.scratch.test, outcome.warm.test), base, scratch, selected)


def means(found: Sequence[User]) -> str:
    """Markdown: all users' means at each similarity, and selected - scratch with its 95 % interval over prompts."""
    rows = []
    for level in sorted({user.level for user in found}):
        there = [user for user in found if user.level == level]
        arms = [[getattr(user, arm) for user in there] for arm in ARMS]
        row = [f"{level} %", " / ".join(f"{mean(answered.bleu for answered in arm):.1f}" for arm in arms)]
        for score in ("rouge1", "rouge_l"):
            each = [[value for answered in arm for value in getattr(answered, score)] for arm in arms]
            row.append(" / ".join(f"{mean(values):.1f}" for values in each))
            apart = [selected - scratch for _, scratch, selected in zip(*each, strict=True)]
            middle, half = mean(apart), 1.96 * stdev(apart) / len(apart) ** 0.5
            row.append(f"{middle:+.1f} ({middle - half:+.1f} to {middle + half:+.1f})")
        rows.append(row)
    return table(("similarity", "BLEU", "ROUGE-1", "selected - scratch", "ROUGE-L", "selected - scratch"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--adapters", type=Path, default=Path("runs/benchmark-adapters"))
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-finetune/warmstart"))
    parser.add_argument("--styles-only", type=numbers, default=(1, 4, 6, 7))
    parser.add_argument("--levels", type=numbers, default=tuple(PAPER), help="similarities, in per cent")
    parser.add_argument("--user", type=int, default=50, help="a user's messages, and the rows of the adapters")
    parser.add_argument("--threads", type=int, default=platform.cores())
    parser.add_argument("--trained-threads", type=int, default=1, help="--threads of the warm start's runs")
    parser.add_argument("--report", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    ran = Bench(options.styles, options.trained_threads)
    make = partial(Warmstart, ran, options.adapters, options.out, options.user, 0, True, False, True)
    found: list[User] = []
    for style in options.styles_only:
        for level in options.levels:
            try:
                found.append(measured(make(), str(style), level))
            except Missing as error:
                print(f"style {style} at {level} % is left out: there is no {error}")
    head = ("user's style", "similarity", "model", "test loss", "BLEU", "ROUGE-1", "ROUGE-L")
    rows: list[tuple[object, ...]] = []
    for user in found:
        losses = ("", *(f"{loss:.3f}" for loss in user.losses))
        for arm, loss in zip(ARMS, losses, strict=True):
            rows.append((user.style, f"{user.level} %", arm, loss, *getattr(user, arm).told))
    told = f"""# Answers after a warm start

```sh
python benchmarks/answers.py --styles DIR --adapters DIR
```

Greedy answers of at most {ANSWER} tokens to the first {CHECKED} test prompts of the user's style, compared with that
style's own answers: corpus BLEU (sacreBLEU), mean F of ROUGE-1 and ROUGE-L with stemming, in per cent. Scratch and
selected are the runs of warmstart.md, each where it was first at the target, both with {options.user} messages.

Means of base / scratch / selected, and the difference of the last two with its 95 % interval over prompts:

{means(found)}

{table(head, rows)}
"""
    print("\n" + told)
    write_report(told, options.report)


if __name__ == "__main__":
    main()
