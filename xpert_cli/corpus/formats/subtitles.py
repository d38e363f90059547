"""Subtitles: their words. Jupyter notebooks, whose text is seldom a person's usual writing, are refused here."""

from __future__ import annotations

import re

from xpert_cli.corpus.large_json import is_array
from xpert_cli.corpus.messages import Message
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.turns import Conversation, Parsed, Turn, clean, person
from xpert_cli.errors import BadInput

SUBTITLES = "subtitles"

_CUE = re.compile(
    r"^(?:(\d+)\n)?(\d{1,2}:)?(\d{1,2}):(\d{2})[.,](\d{1,3}) --> (?:\d{1,2}:)?\d{1,2}:\d{2}[.,]\d{1,3}[^\n]*$",
    re.MULTILINE,
)
_TAGS = re.compile(r"</?(?:i|b|u|c|font|v|ruby|rt|lang)\b[^<>\n]*>|\{\\[^{}\n]*\}|<\d+:\d+[^<>]*>")
_VOICE = re.compile(r"<v(?:\.\w+)? ([^<>\n]+)>")
_SOUND = re.compile(r"[\[(♪][^\])♪\n]*[\])♪]")
_SPEAKER = re.compile(r"(?:>> ?)?([A-ZÀ-Þ][\w .'’-]{0,30}): (?=\S)")


def read(file: File) -> Parsed | None:
    """The words of subtitles.

    Raises:
        BadInput: a notebook.
    """
    whole = file.json.whole if file.json else None
    if isinstance(whole, dict) and is_array(whole.get("cells")) and "nbformat" in whole:
        raise BadInput(
            f"{file.name} is a Jupyter notebook, of code and notes about it. If the notes are your writing, give them"
            " as Markdown: jupyter nbconvert --to markdown FILE."
        )
    if file.json is None and "-->" in file.text and (cues := list(_CUE.finditer(file.text))):
        head = file.text[: cues[0].start()].strip()
        if not head or head.startswith("WEBVTT"):
            return _subtitles(file, cues)
    return None


def _subtitles(file: File, cues: list[re.Match[str]]) -> Parsed:
    """A message a cue; with speakers in most of them, a conversation."""
    parsed = Parsed(SUBTITLES)
    entries: list[tuple[str, str, str]] = []
    for cue, after in zip(cues, [*cues[1:], None], strict=True):
        body = file.text[cue.end() : after.start() if after else len(file.text)]
        body = re.split(r"\n\s*\n", body.strip("\n"))[0]
        voice = _VOICE.search(body)
        text = clean(_SOUND.sub("", _TAGS.sub("", body)).replace("\n- ", "\n"))
        text = " ".join(text.split())
        speaker = voice[1] if voice else (match[1] if (match := _SPEAKER.match(text)) else "")
        if not voice and speaker:
            text = text[match.end() :] if match else text
        if text and (not entries or entries[-1][1] != text):
            entries.append((person(speaker), text, f"{file.name}:{file.text.count(chr(10), 0, cue.start()) + 1}"))
    if sum(bool(who) for who, _, _ in entries) * 2 > len(entries):
        last, turns = "", []
        for who, text, source in entries:
            last = who or last
            turns.append(Turn(last, text, source))
        parsed.conversations.append(Conversation(file.name, turns))
    else:
        parsed.messages += [Message("", text, source, True) for _, text, source in entries]
    return parsed
