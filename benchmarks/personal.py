"""What else could serve a person than a start that is trained on: a system prompt, or a small adapter on a frozen one?

    python -m benchmarks personal --people DIR --styles DIR --threads 1 [--only prompt,residual] [--users 24]

Users, losses and the store's rules are those of the benchmark `people`. A frozen community keeps its factors while the
factors of a few more ranks are trained beside them: only these would be a person's own file. Reads --people, --styles,
--cached, --users, --seeds, --threads. Not here: starts (people.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean

from benchmarks.figures import paired
from benchmarks.people import MIDDLE, STARTS
from benchmarks.report import table
from benchmarks.run import TOKENS, Run, say
from benchmarks.store import Missing, Record, short_key
from benchmarks.writers import BATCH, RANK, RATE, Population, Writer, population
from xpert_cli import gguf
from xpert_cli.llama.model import Sample
from xpert_cli.llama.vocabulary import Vocabulary
from xpert_cli.paths import digest
from xpert_cli.style import described
from xpert_cli.training.decoder import Decoder
from xpert_cli.training.loop import Progress, Recipe, evaluate, train

SAID, SHOWN = 5, 3  # statements of an explanation, and messages that are shown as examples
OWN = (0, 1, 2, 4)  # ranks of a person's own adapter on the frozen community; 0 trains the community on, at RANK


def explanation(among: Population, user: Writer) -> str:
    """What xpert says of a user's first turns, as an instruction."""
    texts = [turn.response for turn in user.train[:MIDDLE]]
    space, shift = among.cache.space, among.cache.shift(texts)
    said = [space.axes[axis].words(shift[axis]) for axis in described.strongest(space, shift, SAID)]
    return f"Write as this person writes: {'; '.join(said)}."


def examples(user: Writer) -> str:
    """Some of a user's messages."""
    return "\n".join(["Messages of this person:", *(f"- {turn.response}" for turn in user.train[:SHOWN])])


def prompts(among: Population, user: Writer) -> dict[str, str]:
    """Name -> the system prompt; an empty one leaves the message out."""
    said, shown = explanation(among, user), examples(user)
    return {"none": "", "explanation": said, f"{SHOWN} messages": shown, "both": f"{said}\n{shown}"}


def with_system(run: Run, user: Writer, system: str) -> list[Sample]:
    """A user's test turns after a system prompt, scored as without one: the answer's first TOKENS tokens."""
    if not system:
        return run.samples(user.test)
    samples: list[Sample] = []
    with Vocabulary(run.base) as vocabulary:
        for message in user.test:
            turns = [{"role": "system", "content": system}, {"role": "user", "content": message.prompt}]
            head = vocabulary.chat(turns)
            answer = [*vocabulary.tokenize(message.response), vocabulary.end_of_turn][:TOKENS]
            samples.append(([*head, *answer], len(head)))
    return samples


def prompted(run: Run) -> str:
    """Losses of the base and of the packaged community with a system prompt, before any training."""
    among = population(run)
    starts = {"base": None, "packaged community": STARTS["packaged community"](among, among.users[0], MIDDLE)}
    losses: dict[tuple[str, str], dict[str, float]] = {}
    for user in (one for one in among.users if one.kind == "person"):
        for (start, path), (name, system) in _pairs(starts, prompts(among, user)):
            made_of = [run.fingerprint, start, system, short_key([[one.prompt, one.response] for one in user.test])]

            def measure(path: Path | None = path, user: Writer = user, system: str = system) -> Record:
                run.decoder.begin(gguf.read_adapter(path) if path else None, RANK, 2.0, 0)
                return {"loss": evaluate(run.decoder, with_system(run, user, system))}

            try:
                record = run.store.record(f"prompt/{user.name}-{short_key(made_of)}", {"of": made_of}, measure)
            except Missing:
                continue
            losses.setdefault((start, name), {})[user.name] = float(record["loss"])
        say(user.name)
    none, rows = losses.get(("base", "none"), {}), []
    for (start, name), some in losses.items():
        both = [user for user in some if user in none]
        against = paired([some[user] for user in both], [none[user] for user in both])
        rows.append((start, name, len(some), f"{mean(some.values()):.3f}", "" if some is none else f"{against}"))
    return table(("model", "system prompt", "count", "nats a token", "less base without one"), rows)


def _pairs(
    starts: dict[str, Path | None], systems: dict[str, str]
) -> list[tuple[tuple[str, Path | None], tuple[str, str]]]:
    return [(start, system) for start in starts.items() for system in systems.items()]


@contextmanager
def frozen(decoder: Decoder, ranks: int) -> Iterator[None]:
    """While this lasts, the first so many ranks of every layer's factors have no gradient, so that they stay."""
    learn = decoder.learn

    def learn_own(samples: Sequence[Sample], over: float) -> float:
        loss = learn(samples, over)
        for weights in (group.weights for layer in decoder.layers for group in layer.groups):
            for (_, columns), up in zip(weights.blocks, weights.up_gradients, strict=True):
                weights.down_gradient[columns][:ranks] = 0
                up[:, :ranks] = 0
        return loss

    setattr(decoder, "learn", learn_own)  # noqa: B010 - a method cannot be assigned to
    try:
        yield
    finally:
        delattr(decoder, "learn")


def residual(run: Run) -> str:
    """Losses after one pass over a user's turns: the community trained on, and frozen with a person's own ranks."""
    among = population(run)
    community = STARTS["packaged community"](among, among.users[0], MIDDLE)
    assert community
    measured: dict[int, dict[str, Record]] = {}
    for user in (one for one in among.users if one.kind == "person"):
        for own in OWN:
            try:
                measured.setdefault(own, {})[user.name] = _residual(run, user, community, own)
            except Missing:
                continue
        say(user.name)
    rows = []
    for own, some in measured.items():
        both = [user for user in some if user in measured[OWN[0]]]
        losses = [[float(of[user]["loss"]) for user in both] for of in (some, measured[OWN[0]])]
        name = f"frozen, own rank {own}" if own else f"trained on, rank {RANK}"
        records = list(some.values())
        rows.append(
            (
                *(name, len(some), f"{mean(float(one['loss']) for one in records):.3f}"),
                *("" if not own else f"{paired(*losses)}", f"{records[0]['bytes'] / 1e6:.2f}"),
                f"{mean(float(one['seconds']) for one in records):.1f}",
            )
        )
    return table(("community", "count", "nats a token", "less trained on", "own MB", "seconds of 10 steps"), rows)


def _residual(run: Run, user: Writer, community: Path, own: int) -> Record:
    texts = short_key([[one.prompt, one.response] for one in (*user.train[:MIDDLE], *user.test)])
    made_of = {"of": [run.fingerprint, digest(community), own, RATE, MIDDLE, BATCH, texts]}

    def measure() -> Record:
        start = gguf.read_adapter(community)
        ranks, steps, ends = start.rank + own if own else RANK, -(-MIDDLE // BATCH), list[float]()
        test, turns = run.samples(user.test), run.samples(user.train[:MIDDLE])

        def last(at: Progress) -> None:
            if at.step == steps:
                ends.append(evaluate(run.decoder, test))

        plan = Recipe(steps=steps, rank=ranks, learning_rate=RATE, batch=BATCH, evaluate_every=steps)
        with frozen(run.decoder, start.rank if own else 0):
            done = train(run.decoder, turns, turns[:1], plan, start=start, progress=last)
        numbers = len(run.decoder.parameters) * (own or RANK) // ranks
        return {"loss": ends[-1], "bytes": 2 * numbers, "seconds": done.train_seconds}

    return run.store.record(f"residual/{user.name}-{short_key(made_of)}", made_of, measure)


PARTS = {"prompt": prompted, "residual": residual}
