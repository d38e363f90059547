"""How results look to people: pure functions from a result to something rich can print.

    Console(width=40).print(Bars(summary.axes))

They fit a phone's 40 columns as well as a terminal's 80. Not here: JSON and where things are printed (cli/output.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xpert_cli.cache.card import check_in_words
from xpert_cli.cli.output import split_command
from xpert_cli.counts import counted

if TYPE_CHECKING:
    from xpert_cli.cache.build import Built
    from xpert_cli.cache.verify import Listing, Verified
    from xpert_cli.cli.doctor import Diagnosis
    from xpert_cli.llama.chat import Run
    from xpert_cli.models.convert import Converted
    from xpert_cli.models.merge import Merged
    from xpert_cli.paper.compare import Compared
    from xpert_cli.paper.name_adapters import Named
    from xpert_cli.selection.select import Selection
    from xpert_cli.selection.start_check import StartCheck
    from xpert_cli.selection.summarize import Summary
    from xpert_cli.sharing.publish import Draft, TextCheck
    from xpert_cli.sharing.upload import Receipt
    from xpert_cli.training.evaluate import Evaluation, Standing
    from xpert_cli.training.finetune import Finetuned
    from xpert_cli.training.many import TrainedCache
    from xpert_cli.training.peft_engine import PeftTrained

_NARROW = 60  # columns under which a bar goes on a line of its own
_LEAST_CELLS = 6  # of each half of a bar; the words before it have the rest of the line
_LONG = 3.0  # a shift, in standard deviations, that fills a bar; larger ones shrink the scale
_LESS, _MORE = "yellow", "cyan"
MOST_FINDINGS = 20  # findings that are shown


class Axis(Protocol):
    """One reading: words for the end it points to, a signed strength, and a quote that shows it ("" for none)."""

    @property
    def words(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def evidence(self) -> str: ...


@dataclass(frozen=True)
class Bars:
    """Signed bars, one an axis, each with its words, value and quoted evidence."""

    axes: Sequence[Axis]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        width = options.max_width
        scale = max([_LONG, *(abs(axis.value) for axis in self.axes)])
        longest = max((cell_len(axis.words) for axis in self.axes), default=0)
        words = max(min(34, width // 2 - 6), min(longest, width - 8 - 2 * _LEAST_CELLS))
        for axis in self.axes:
            style = _MORE if axis.value > 0 else _LESS
            value = Text(f"{axis.value:+6.1f}", style)
            if width < _NARROW:
                yield _fitted(axis.words, width - 6) + value
                yield Text("  ") + Text(signed_bar(axis.value / scale, (width - 3) // 2), style)
            else:
                bar = signed_bar(axis.value / scale, min(20, (width - words - 8) // 2))
                yield _fitted(axis.words, words) + Text(f" {bar}", style) + value
            if axis.evidence:
                yield Padding(Text(axis.evidence, "dim"), (0, 0, 0, 4))


def signed_bar(share: float, cells: int) -> str:
    """A bar of 2 * `cells` + 1 columns that grows from its middle, to the right for `share` > 0; at 1 it is full."""
    halves = min(round(abs(share) * 2 * cells), 2 * cells)
    full, half = "█" * (halves // 2), halves % 2
    if share < 0:
        return (("▐" if half else "") + full).rjust(cells) + "│" + " " * cells
    return " " * cells + "│" + (full + ("▌" if half else "")).ljust(cells)


def _fitted(text: str, width: int) -> Text:
    line = Text(text)
    line.truncate(width, overflow="ellipsis", pad=True)
    return line


def summary(result: Summary, top: int) -> RenderableType:
    """The explanation in a sentence, then the strongest axes, those that say something of their own first."""
    axes = sorted(result.axes, key=lambda axis: not axis.shown)
    among = [Text(result.apart), Text()] if result.apart else []
    return Group(Text(result.explanation, "bold"), Text(), *among, Bars(axes[:top]))


def selection(result: Selection, top: int) -> RenderableType:
    """The choice and why, then the ranking."""
    chosen = " + ".join(
        item.adapter if len(result.selected) == 1 else f"{item.weight:.2f} {item.adapter}" for item in result.selected
    )
    heads = {"best": "Nearest", "mixture": "Nearest mixture", "community": "Nearest people"}
    none = "No adapter is near enough: start from the base model"
    head = f"{heads[result.verdict]}: {chosen}" if result.verdict in heads else none
    ranking = Table.grid(padding=(0, 2))
    ranking.add_column(justify="right", no_wrap=True)
    ranking.add_column(overflow="fold")
    chosen_ids = {one.adapter for one in result.selected}
    shown = [one for place, one in enumerate(result.ranking) if place < top or one.adapter in chosen_ids]
    several, heading = any(one.people for one in shown), ""
    for item in shown:
        above = "communities that you are of, the smallest first" if item.people else "adapters, the nearest first"
        if several and above != heading:
            ranking.add_row("", Text(heading := above, "dim"))
        why = ", ".join(item.why[:3])
        of = f"  {item.people} people" if item.people else ""
        ranking.add_row(f"{item.score:+.2f}", Text(item.adapter) + Text(of + (f"\n{why}" if why else ""), "dim"))
    detail = f" (nearness {result.nearness:.2f}, confidence {result.confidence:.2f}{result.few})"
    return Group(Text.assemble((head, "bold"), (detail, "dim")), Text(result.explanation), Text(), ranking)


def trained_cache(result: TrainedCache) -> RenderableType:
    """How many writers a cache has, how fast they were trained, and its communities."""
    whose = "" if result.trained else "communities at "
    speed = f" ({whose}{result.tokens_per_second:.0f} tokens/s)" if result.tokens else ""
    people = f" ({counted(result.people, 'people')})" if result.people < result.writers else ""
    done = f"{counted(result.writers, 'writers')}{people}, {result.trained or 'none'} of them trained now{speed}"
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for one in result.communities:
        table.add_row(one.id, counted(one.people, "people"), Text(one.explanation, "dim"))
    head = Text(f"{result.out}: {done}" + (f", {len(result.left_out)} left out" if result.left_out else ""), "bold")
    return Group(head, Text(), table) if result.communities else head


def starts(result: StartCheck) -> RenderableType:
    """The starts that were measured, each with its loss, and the choice."""
    return Text("\n" + "\n".join(result.lines))


def compared(result: Compared, top: int) -> RenderableType:
    """The nearest adapter by named words, then the distances of all and the person's words."""
    ranking = Table.grid(padding=(0, 2))
    ranking.add_column(justify="right", no_wrap=True)
    ranking.add_column(overflow="fold")
    for one in result.ranking[:top]:
        ranking.add_row(f"{one.distance:.2f}", one.adapter)
    words = ", ".join(f"{one.word} ({one.value:+.1f})" for one in result.words[:top])
    head = f"Nearest: {result.ranking[0].adapter}" if result.ranking else "No adapter has words yet"
    return Group(Text(head, "bold"), Text(f"Beside the base's answers, yours are: {words}."), Text(), ranking)


def named(result: Named) -> RenderableType:
    """A cache's words, and what each new adapter has most and least of."""
    words = f"{counted(len(result.words), 'words')} kept of {result.looked}"
    head = f"{words} ({result.seconds:.0f} s): {', '.join(result.words)}"
    rows = [
        Text.assemble(one.id, (f"  {one.left:.0%} of it unexplained\n  {', '.join(one.words)}", "dim"))
        for one in result.added
    ]
    return Group(Text(head, "bold"), *rows)


def finetuned(result: Finetuned) -> RenderableType:
    """Losses, where the files are, and the same prompt before and after."""
    from xpert_cli.selection.style_shift import UNIT

    started = " + ".join(f"{item.weight:g} {item.adapter}" for item in result.started_from) or "the base model"
    losses, files, answers = result.losses, result.files, result.answers
    base = f" (base: {losses.loss_base:.3f})" if result.started_from else ""
    rows = [
        ("started from", started),
        ("loss", f"{losses.loss_before:.3f} -> {losses.loss_after:.3f} nats a token{base}, on messages held out"),
        (
            "trained",
            f"{counted(losses.steps, 'steps')} at {losses.tokens_per_second:.0f} tokens/s, "
            f"{result.seconds:.0f} s in all",
        ),
        ("adapter", files.adapter),
        ("merged", files.merged),
    ]
    moved = [("style" if not index else "", axis.sentence) for index, axis in enumerate(answers.axes[:4])]
    moved += [("", f"({UNIT})")] if moved else []
    texts = [("prompt", answers.prompt), ("before", answers.before), ("after", answers.after)]
    return Group(pairs([*rows, *moved]), Text(), pairs([(name, text.strip()) for name, text in texts if text]))


def trained_with_peft(result: PeftTrained) -> RenderableType:
    """Losses, and where the files are."""
    rows = [
        ("loss", f"{result.loss_before:.3f} -> {result.loss_after:.3f} nats a token, on messages held out"),
        (
            "trained",
            f"{counted(result.steps, 'steps')} at {result.tokens_per_second:.0f} tokens/s, "
            f"{result.seconds:.0f} s in all",
        ),
        ("adapter", result.adapter),
        ("PEFT folder", result.peft),
    ]
    return pairs(rows)


def races(runs: Sequence[Finetuned]) -> RenderableType:
    """Held-out losses of runs of the same length, side by side."""
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    for _ in range(3):
        table.add_column(justify="right", no_wrap=True)
    table.add_row(*(Text(name, "dim") for name in ("from", "start", "end", "")))
    for run in runs:
        started = " + ".join(item.adapter for item in run.started_from) or "the base model"
        losses = run.losses
        change = Text(f"{losses.loss_after - losses.loss_before:+.3f}", "dim")
        table.add_row(Text(started), f"{losses.loss_before:.3f}", f"{losses.loss_after:.3f}", change)
    speed = ", ".join(f"{run.losses.tokens_per_second:.0f}" for run in runs)
    held_out = counted(runs[0].data.held_out, "messages")
    return Group(table, Text(f"nats a token on {held_out} held out; {speed} trained tokens/s", "dim"))


def before_and_after(before: Run, after: Run) -> RenderableType:
    """Two answers to one prompt, with the speed of generation."""
    answers = (
        (name, f"{run.text.strip()} ({run.tokens_per_second:.0f} tokens/s)")
        for name, run in (("before", before), ("after", after))
    )
    return pairs(list(answers))


def evaluation(result: Evaluation) -> RenderableType:
    """The losses side by side."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    losses = {"base": result.loss_base, "with adapters": result.loss_adapter, "merged": result.loss_merged}
    for name, loss in losses.items():
        if loss is not None:
            table.add_row(name, f"{loss:.4f}", "" if name == "base" else f"{loss - result.loss_base:+.4f}")
    over = f"{counted(result.tokens, 'tokens')} of {counted(result.samples, 'messages')}"
    tail = Text(f"nats a token, over {over}", "dim")
    axes: list[RenderableType] = [Text(), _standings(result.axes)] if result.axes else []
    return Group(table, tail, *axes)


def _standings(axes: Sequence[Standing]) -> RenderableType:
    """A row an axis: where each model's answers lie, and the person's writing."""
    from xpert_cli.selection.style_shift import UNIT, signed

    columns = {"base": "base", "adapter": "with adapters", "merged": "merged", "you": "your texts"}
    shown = [field for field in columns if any(getattr(axis, field) is not None for axis in axes)]
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    for _ in shown:
        table.add_column(justify="right", no_wrap=True)
    table.add_row("", *(Text(columns[field], "dim") for field in shown))
    for axis in axes:
        table.add_row(axis.name, *(signed(getattr(axis, field)) for field in shown))
    return Group(table, Text(UNIT, "dim"))


def converted(result: Converted) -> RenderableType:
    """The file, and what it lost on the way."""
    rows = [("model", result.out), ("type", result.type), ("size", size(result.bytes))]
    if result.fallback:
        kinds = ", ".join(sorted(set(result.fallback.values())))
        rows.append(("note", f"{counted(len(result.fallback), 'tensors do')} not fit {result.type} and became {kinds}"))
    if result.requantized:
        rows.append(("note", "the source was quantized already, which costs quality: convert the original if you can"))
    rows += [("note", note) for note in result.notes]
    return pairs(rows)


def merged(result: Merged) -> RenderableType:
    """The file written."""
    rows = [(result.kind, result.out), ("type", result.type), ("rank", str(result.rank)), ("size", size(result.bytes))]
    if result.error is not None:
        rows.append(("lost", f"{result.error:.2%} of the change, by the lower rank"))
    return pairs(rows)


def built(result: Built) -> RenderableType:
    """The cache, and what each adapter was found to write like."""
    size_of_it = f"{counted(len(result.adapters), 'adapters')} on {counted(len(result.axes), 'axes')}"
    head = f"{size_of_it} in {result.out} ({result.seconds:.0f} s)"
    return Group(Text(head, "bold"), _adapters([(one.id, size(one.bytes), one.explanation) for one in result.adapters]))


def listing(result: Listing) -> RenderableType:
    """The adapters of a cache, and what each writes like."""
    from xpert_cli.gguf import called

    listed = len(result.adapters)
    here = "" if listed == result.count else f", of which {counted(listed, 'are')} on this machine"
    head = f"{counted(result.count, 'adapters')} of {called(result.base)} in {result.cache}{here}"
    rows = [(one.id, f"{size(one.bytes)}, rank {one.rank}", one.explanation) for one in result.adapters]
    groups = [(one.id, counted(one.people, "people"), one.explanation) for one in result.communities]
    shown = Group(Text(head, "bold"), _adapters(rows))
    return Group(shown, Text("\nCommunities", "bold"), _adapters(groups)) if groups else shown


def verified(result: Verified) -> RenderableType:
    """That all is well: what is not, is an error."""
    communities = f" and {result.communities} of communities" if result.communities else ""
    held = f"{counted(result.adapters, 'adapters')}{communities} ({size(result.bytes)})"
    verb = "is" if result.adapters == 1 and not result.communities else "are"
    head = f"{result.cache}: {held} {verb} what the catalogue says."
    rows = [f"{one.agreement:+.2f}  {one.id}" for one in result.answers]
    lines = ["", "Answers and the place of the training text agree by (1 at most):", *rows] if rows else []
    return Text("\n".join([head, *lines]))


def text_check(adapter: str, result: TextCheck) -> str:
    """What was found in a training text, without repeating it, and what its adapter remembers."""
    lines = [f"{adapter}: {check_in_words(result.checks)}"]
    lines += [f"  message {one.message + 1}, line {one.line}: {one.hint}" for one in result.findings[:MOST_FINDINGS]]
    if len(result.findings) > MOST_FINDINGS:
        lines.append(f"  and {len(result.findings) - MOST_FINDINGS} more")
    return "\n".join(lines)


def draft(result: Draft) -> str:
    """What would be sent where."""
    what = "a pull request to " if result.propose else "private " if result.private else "PUBLIC "
    signed = f"signed with {result.signed_by}" if result.signed_by else "not signed"
    files = f"{counted(len(result.names), 'files')} ({size(result.bytes)})"
    lines = [f"{files} for {what}{result.repo}, version {result.version}, {signed}"]
    if result.unchecked:
        lines.append(f"The training text of {', '.join(result.unchecked)} was not looked through (--text FILE).")
    return "\n".join(lines)


def receipt(result: Receipt) -> RenderableType:
    """What is there now."""
    where = result.pull_request or f"{result.repo} at {result.commit[:7]}"
    return Text(f"{where}: {counted(len(result.files), 'files')} sent ({size(result.bytes)}).")


def diagnosis(result: Diagnosis) -> RenderableType:
    """A line a check; what is missing says how to get it, each command on a line of its own."""
    marks = {True: Text("✓", "green"), False: Text("✗", "red"), None: Text("·", "dim")}
    widest = max((cell_len(check.name) for check in result.checks), default=0)
    parts: list[RenderableType] = []
    for check in result.checks:
        fixes = [split_command(line) for line in check.fix.splitlines()]
        table = Table.grid(padding=(0, 1))
        table.add_column()
        table.add_column(min_width=widest, no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row(marks[check.ok], Text(check.name), Text(check.detail))
        for before, _ in fixes:
            if before:
                table.add_row("", "", Text(before, "dim"))
        parts.append(table)
        parts += [unbroken(f"    {command}") for _, command in fixes if command]
    return Group(*parts)


def unbroken(text: str) -> RenderableType:
    """Lines that are not broken, however narrow the screen: commands, keys and addresses to copy."""
    return Group(Text(text, no_wrap=True, overflow="ignore"))  # rich joins texts that stand alone, and wraps them


def size(number: float) -> str:
    """Bytes in words: 98 MB."""
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return "1 byte" if (number, unit) == (1, "bytes") else f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def _adapters(rows: Sequence[tuple[str, str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    for name, detail, explanation in rows:
        table.add_row(Text.assemble(name, (f"  {detail}", "dim"), (f"\n  {explanation}", "dim")))
    return table


def pairs(rows: Sequence[tuple[str, str]]) -> Table:
    """Two columns, names and texts; a row without a text is left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        if text:
            table.add_row(name, Text(text))
    return table
