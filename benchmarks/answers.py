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
from typing import Any

from _common import Bench, numbers, stored, table, write_report
from warmstart import CHECKED, Missing, Warmstart

from xpert_cli import platform
from xpert_cli.doors.llama import Model
from xpert_cli.paths import digest

ANSWER = 128  # tokens
SEQUENCES = 8


@dataclass(frozen=True)
class Answered:
    """Mean scores of one model's answers, in per cent."""

    bleu: float
    rouge1: float
    rouge_l: float


def scores(answers: Sequence[str], references: Sequence[str]) -> Answered:
    """Corpus BLEU (Papineni et al. 2002, sacreBLEU's default), mean F of ROUGE-1 and ROUGE-L (Lin 2004)."""
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    each = [scorer.score(reference, answer) for reference, answer in zip(references, answers, strict=True)]
    one, longest = (100 * sum(pair[name].fmeasure for pair in each) / len(each) for name in ("rouge1", "rougeL"))
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


def lines(warmstart: Warmstart, style: str, level: int) -> list[tuple[object, ...]]:
    """Base, scratch and selected adapter of one user.

    Raises:
        Missing: a run that is not there.
    """
    outcome = warmstart.outcome(style, level, warmstart.user)
    told: list[tuple[object, ...]] = []
    for arm, run in (("base", None), ("scratch", outcome.scratch), ("selected", outcome.warm)):
        path = warmstart.out / f"{run.run}.gguf" if run else None
        if path and not path.exists():
            raise Missing(path.name)
        found = asked(warmstart, style, path)
        at = f"{run.test:.3f}" if run else ""
        told.append((style, f"{level} %", arm, at, f"{found.bleu:.1f}", f"{found.rouge1:.1f}", f"{found.rouge_l:.1f}"))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--adapters", type=Path, default=Path("runs/benchmark-adapters"))
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-finetune/warmstart"))
    parser.add_argument("--styles-only", type=numbers, default=(1, 4, 6, 7))
    parser.add_argument("--levels", type=numbers, default=(90,))
    parser.add_argument("--user", type=int, default=50, help="a user's messages, and the rows of the adapters")
    parser.add_argument("--threads", type=int, default=platform.cores())
    parser.add_argument("--trained-threads", type=int, default=1, help="--threads of the warm start's runs")
    parser.add_argument("--report", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    ran = Bench(options.styles, options.trained_threads)
    make = partial(Warmstart, ran, options.adapters, options.out, options.user, 0, True, False, True)
    found: list[tuple[object, ...]] = []
    for style in options.styles_only:
        for level in options.levels:
            try:
                found += lines(make(), str(style), level)
            except Missing as error:
                print(f"style {style} at {level} % is left out: there is no {error}")
    head = ("user's style", "similarity", "model", "test loss", "BLEU", "ROUGE-1", "ROUGE-L")
    told = f"""# Answers after a warm start

```sh
python benchmarks/answers.py --styles DIR --adapters DIR
```

Greedy answers of at most {ANSWER} tokens to the first {CHECKED} test prompts of the user's style, compared with that
style's own answers: corpus BLEU (sacreBLEU), mean F of ROUGE-1 and ROUGE-L with stemming, in per cent. Scratch and
selected are the runs of warmstart.md, each where it was first at the target, both with {options.user} messages.

{table(head, found)}
"""
    print("\n" + told)
    write_report(told, options.report)


if __name__ == "__main__":
    main()
