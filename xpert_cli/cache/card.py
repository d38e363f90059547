"""The model card of a cache: README.md with the front matter that the Hub reads, and what is known of each adapter.

    text = write_card(base_name, about, entries)
    text = update_card(text, entries, metadata={"license": "apache-2.0"})

What stands before the heading "## Adapters" is the owner's; from there on it is written anew. Not here: the catalogue,
which is what programs read (cache/catalogue.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from xpert_cli.foreign.text import markdown

if TYPE_CHECKING:
    from xpert_cli.cache.communities import Community
    from xpert_cli.cache.entries import Entry

FILE = "README.md"
_GENERATED = "## Adapters"
_MANY = "\n\nA cache of {} for `xpert select`. Its index describes each.\n"


def write_card(base: str, about: str, entries: Sequence[Entry], communities: Sequence[Community] = ()) -> str:
    """A card for adapters of a base; `about` is its owner's Markdown: the data, and its terms."""
    front = "base_model_relation: adapter\nlibrary_name: gguf\npipeline_tag: text-generation\ntags: [xpert, lora, gguf]"
    head = f"---\nbase_model: {json.dumps(base)}\n{front}\n---\n\n# LoRA adapters of {markdown(base)}\n\n"
    return head + (f"{about.strip()}\n\n" if about.strip() else "") + _adapters(entries) + _communities(communities)


def update_card(
    card: str,
    entries: Sequence[Entry],
    metadata: Mapping[str, str],
    size: int = 0,
    communities: Sequence[Community] = (),
) -> str:
    """A card for other entries, and with other values of keys of its front matter.

    Args:
        size: adapters of a cache whose entries are too many to be listed.
    """
    head = card.partition(_GENERATED)[0].rstrip()
    if not head.startswith("---\n") or "\n---\n" not in head[4:]:
        head = f"---\ntags: [xpert, lora, gguf]\n---\n\n{head}"
    front, _, body = head[4:].partition("\n---\n")
    other_lines = [line for line in front.splitlines() if line.partition(":")[0] not in metadata]
    front = "\n".join([*(f"{key}: {json.dumps(value)}" for key, value in metadata.items()), *other_lines])
    listed = _adapters(entries) if len(entries) >= size else _GENERATED + _MANY.format(size)
    return f"---\n{front}\n---\n{body}\n\n{listed}{_communities(communities)}"


def _adapters(entries: Sequence[Entry]) -> str:
    rows = []
    for entry in entries:
        provenance = entry.provenance
        known = "loss_before" in provenance and "loss_after" in provenance
        losses = f"{provenance['loss_before']:.3f} → {provenance['loss_after']:.3f}" if known else "not told"
        cells = (
            entry.id,
            entry.explanation,
            provenance.get("messages", "not told"),
            losses,
            check_in_words(entry.checked),
        )
        rows.append(f"| {' | '.join(markdown(str(one)) for one in cells)} |")
    return "\n".join(
        [
            f"{_GENERATED}\n\nA cache of {len(entries)} for `xpert select`. An explanation counts in standard",
            "deviations of single texts, from the base model's own answers. Losses are nats a response token on",
            "held-out messages, before and after training. Of the training text is told what its owner checked.\n",
            "| adapter | explanation | messages | loss | training text |\n|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _communities(communities: Sequence[Community]) -> str:
    """A table of the communities; nothing where there are none."""
    if not communities:
        return ""
    made = {"average": "the average of its people's adapters", "text": "trained on text of all its people"}
    rows = []
    for one in communities:
        values = one.id, one.parent or "everybody", one.count, made.get(one.made, one.made), one.entry.explanation
        rows.append(f"| {' | '.join(markdown(str(part)) for part in (*values, check_in_words(one.entry.checked)))} |")
    return "\n".join(
        [
            "\n### Communities\n\nPeople who write alike, and one adapter for each group of them.\n",
            "| community | part of | people | adapter | its people write | training text |\n|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def check_in_words(record: Mapping[str, object] | None) -> str:
    """What was checked of an adapter's training text, in words."""
    if not record:
        return "not checked"
    findings = record["findings"]
    parts = [f"{findings} secrets or personal data found" if findings else "no secrets or personal data found"]
    parts.append(f"at most {record['verbatim']} tokens repeated word for word (the base: {record['verbatim_base']})")
    if record.get("exposure") is None:
        parts.append("canaries not tried")
    else:
        parts.append(f"canaries exposed by {record['exposure']:.1f} bits (the base: {record['exposure_base']:.1f})")
    return "; ".join(parts)
