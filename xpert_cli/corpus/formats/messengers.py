"""Text exports of LINE and KakaoTalk, sigtop's text of Signal, imessage-exporter's text and HTML, SMS backups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from xpert_cli.corpus.markup import elements, shown
from xpert_cli.corpus.notices import notice, only_links
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.times import moment, stamp
from xpert_cli.corpus.turns import Conversation, Parsed, Turn, clean, person
from xpert_cli.errors import BadInput

LINE, KAKAO, SIGNAL, IMESSAGE, SMS = "LINE chat", "KakaoTalk chat", "Signal chat", "iMessage chat", "SMS backup"

_AM_PM = r"(?:(?:AM|PM|am|pm|a\.m\.|p\.m\.|上午|下午|午前|午後|오전|오후|ก่อนเที่ยง|หลังเที่ยง) ?)?"
_CLOCK = rf"{_AM_PM}(\d{{1,2}}):(\d{{2}})(?::\d{{2}})?(?: ?[APap]\.?[Mm]\.?)?"
_LINE_SAID = re.compile(rf"^({_CLOCK})\t([^\t\n]+)\t(.*)$")
_LINE_OTHER = re.compile(rf"^{_CLOCK}\t")
_LINE_SPACED = re.compile(rf"^({_CLOCK}) (\S+) (.*)$")
_LINE_DATE = re.compile(
    r"^(?:[^\W\d_]{2,10}\.?, )?(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})(?:\s?[(（][^()（）]{1,4}[)）]| [^\W\d_]{1,9})?$"
)
_LINE_NOTICE = re.compile(
    r"\[(?:photo|sticker|video|voice message|file|location|contact|album|note|gift|poll|event|スタンプ|写真|動画"
    r"|アルバム|ノート"
    r"|ボイスメッセージ|ファイル|位置情報|連絡先|プレゼント|投票"
    r"|貼圖|照片|影片|語音訊息|檔案|位置訊息|聯絡資訊|相簿|記事本|สติกเกอร์|รูป|วิดีโอ|스티커|사진|동영상"
    r"|음성 메시지|stiker|foto|catatan suara)\](?:.*)"
    r"|☎.*|.{0,30}(?:unsent a message|メッセージの送信を取り消しました|已收回訊息|메시지를 취소했습니다"
    r"|ยกเลิกข้อความ).?",
    re.IGNORECASE,
)
_KAKAO_PC = re.compile(rf"^\[([^\]\n]{{1,60}})\] \[({_CLOCK})\] (.*)$")
_KAKAO_PHONE = re.compile(
    rf"^((?:\d{{4}}년 \d{{1,2}}월 \d{{1,2}}일|\d{{4}}\. \d{{1,2}}\. \d{{1,2}}\.|\w+ \d{{1,2}}, \d{{4}}"
    rf"|\d{{1,2}} \w+ \d{{4}})(?: at|,)? {_CLOCK}), ([^:\n]{{1,60}}) : (.*)$"
)
_KAKAO_STAMP = re.compile(
    rf"^(?:\d{{4}}년 \d{{1,2}}월 \d{{1,2}}일|\d{{4}}\. \d{{1,2}}\. \d{{1,2}}\.)(?:,)? {_CLOCK}(?:, .*)?$"
)
_KAKAO_DATE = re.compile(r"^-{4,} (.*\d.*) -{4,}$")
_KAKAO_NOTICE = re.compile(
    r"(?:사진(?: \d+장)?|동영상|이모티콘|삭제된 메시지입니다\.?|음성메시지|파일: .+|연락처: .+|지도: .+"
    r"|(?:보이스톡|페이스톡|그룹콜).{0,20}|샵검색: .*|라이브톡.*"
    r"|photos?(?: \d+)?|\d+ photos|video|emoticons?|voice note|file: .+|(?:voice|face) ?talk.{0,20}"
    r"|this message was deleted\.?)",
    re.IGNORECASE,
)
_SIGTOP = re.compile(
    r"^From: (.+)\nType: (incoming|outgoing)\n((?:[A-Z][\w ]+: ?.*\n(?:[ >].*\n)*|>.*\n)*)", re.MULTILINE
)
_IMESSAGE = re.compile(
    r"^(    )?([A-Z][a-z]{2} \d{2}, \d{4} {1,2}\d{1,2}:\d{2}:\d{2} [AP]M)(?: \(.*\))?\n\1?(.{1,80})\n", re.MULTILINE
)
_ATTACHED = re.compile(
    r"(?:/|~/|[A-Z]:\\|attachments/)\S.*\.\w{2,5}|Attachment missing!?|(?:Tapbacks|Reactions):"
    r"|This message responded to an earlier message\.|￼+|Sent with .*|Edited .*|URL preview.*|Sticker from .*"
)


def read(file: File) -> Parsed | None:
    """One of the exports."""
    if file.json is not None:
        return None
    head = file.text[:400].lstrip()
    if head.startswith(("<?xml", "<smses", "<!--")) and "<smses" in file.text[:2000]:
        return _sms(file)
    if 'class="message"' in file.text and re.search(r'class="(?:sent|received)\b', file.text):
        return _imessage_html(file)
    if head.startswith("Conversation: ") and _SIGTOP.search(file.text):
        return _sigtop(file)
    if _IMESSAGE.match(file.text.lstrip()):
        return _imessage(file)
    lines = file.text.split("\n")
    if head.startswith("[LINE]") or sum(_LINE_SAID.match(line) is not None for line in lines[:2000]) * 3 > min(
        len(lines), 2000
    ):
        return _line(file, lines)
    pc = sum(_KAKAO_PC.match(line) is not None for line in lines[:2000])
    phone = sum(_KAKAO_PHONE.match(line) is not None for line in lines[:2000])
    return (
        _kakao(file, lines)
        if max(pc, phone) * 4 > min(len(lines), 2000) or "카카오톡 대화" in head or "KakaoTalk Chat" in head
        else None
    )


def _conversation(
    name: str, kind: str, entries: Iterator[tuple[int, str, list[str], float | None]], notices: re.Pattern[str]
) -> Parsed:
    """The turns of (line, author, lines of text, time), without notices."""
    parsed = Parsed(kind)
    turns = []
    for number, who, body, when in entries:
        text = clean("\n".join(body))
        if not text or notices.fullmatch(text) or (notice(text.split("\n")[0]) and "\n" not in text):
            parsed.left_out["media notices"] += 1
        elif only_links(text):
            parsed.left_out["messages of links alone"] += 1
        else:
            turns.append(Turn(person(who), text, f"{name}:{number}", when))
    parsed.conversations.append(Conversation(name, turns))
    return parsed


def _line(file: File, lines: list[str]) -> Parsed | None:
    entries: list[tuple[int, str, list[str], float | None]] = []
    day: tuple[int, int, int] | None = None
    spaced = not any(_LINE_SAID.match(line) for line in lines)
    pattern = _LINE_SPACED if spaced else _LINE_SAID
    inside = False
    for number, line in enumerate(lines, 1):
        if match := pattern.match(line):
            body = match[5]
            entries.append((number, match[4], [body], _timestamp(day, match[1], int(match[2]), int(match[3]))))
            inside = True
        elif date := _LINE_DATE.match(line.strip()):
            day, inside = _day(date), False
        elif _LINE_OTHER.match(line) or (spaced and re.match(rf"{_CLOCK} ", line)):
            inside = False
        elif inside and entries:
            entries[-1][2].append(line)
    if not entries:
        return None
    for _, _, body, _ in entries:  # several lines stand in quotation marks
        if len(body) > 1 and body[0].startswith('"'):
            while len(body) > 1 and not body[-1].strip():
                body.pop()
            body[0], body[-1] = body[0][1:], body[-1].removesuffix('"')
    return _conversation(file.name, LINE, iter(entries), _LINE_NOTICE)


def _day(match: re.Match[str]) -> tuple[int, int, int]:
    a, b, c = int(match[1]), int(match[2]), int(match[3])
    return (a, b, c) if a > 31 else (c, b, a) if a > 12 else (c, a, b)


def _timestamp(day: tuple[int, int, int] | None, clock: str, hour: int, minute: int) -> float | None:
    if re.search(r"PM|pm|p\.m|下午|午後|오후|หลังเที่ยง", clock):
        hour = hour % 12 + 12
    elif re.search(r"AM|am|a\.m|上午|午前|오전|ก่อนเที่ยง", clock):
        hour %= 12
    return stamp(*day, hour, minute) if day else None


def _kakao(file: File, lines: list[str]) -> Parsed | None:
    entries: list[tuple[int, str, list[str], float | None]] = []
    day: tuple[int, int, int] | None = None
    inside = False
    for number, line in enumerate(lines, 1):
        if match := _KAKAO_PC.match(line):
            entries.append((number, match[1], [match[5]], _timestamp(day, match[2], int(match[3]), int(match[4]))))
            inside = True
        elif match := _KAKAO_PHONE.match(line):
            numbers = [int(one) for one in re.findall(r"\d+", match[1])]
            when = (
                _timestamp((numbers[0], numbers[1], numbers[2]), match[1], int(match[2]), int(match[3]))
                if numbers[0] > 1000
                else None
            )
            entries.append((number, match[4], [match[5]], when))
            inside = True
        elif (date := _KAKAO_DATE.match(line)) or _KAKAO_STAMP.match(line):
            parts = re.findall(r"\d+", date[1]) if date else []
            day = (int(parts[0]), int(parts[1]), int(parts[2])) if len(parts) > 2 and int(parts[0]) > 1000 else day
            inside = False
        elif inside and entries and not re.search(r"님이 .*(?:초대|나갔습니다|들어왔습니다)", line):
            entries[-1][2].append(line)
    return _conversation(file.name, KAKAO, iter(entries), _KAKAO_NOTICE) if entries else None


def _sigtop(file: File) -> Parsed:
    """sigtop export-messages -f text: a header, a blank line, the message."""
    parsed = Parsed(SIGNAL)
    turns = []
    owner = ""
    heads = list(_SIGTOP.finditer(file.text))
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        body = file.text[head.end() : after.start() if after else len(file.text)]
        who = person(head[1])
        owner = who if head[2] == "outgoing" else owner
        date_line = re.search(r"^Sent: (.*)$", head[3], re.MULTILINE)
        text = clean(re.split(r"^Conversation: ", body, flags=re.MULTILINE)[0])
        source = f"{file.name}:{file.text.count(chr(10), 0, head.start()) + 1}"
        if text and not only_links(text):
            turns.append(Turn(who, text, source, moment(date_line[1]) if date_line else None))
        else:
            parsed.left_out["media notices"] += 1
    others = {turn.author: frozenset({re.sub(r" \([^()]*\)$", "", turn.author)}) for turn in turns}
    parsed.conversations.append(Conversation(file.name, turns, owner, others))
    return parsed


def _imessage(file: File) -> Parsed:
    """imessage-exporter's text: a time, the sender, the message; replies are shown twice, once indented."""
    parsed = Parsed(IMESSAGE)
    turns: list[Turn] = []
    heads = list(_IMESSAGE.finditer(file.text))
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        if head[1]:
            parsed.left_out["replies shown twice"] += 1
            continue
        written = []
        for line in file.text[head.end() : after.start() if after else len(file.text)].split("\n"):
            if re.match(r"\s*(?:Tapbacks|Reactions):", line):
                break
            if not _ATTACHED.fullmatch(line.strip()):
                written.append(line)
        text = clean("\n".join(written))
        source = f"{file.name}:{file.text.count(chr(10), 0, head.start()) + 1}"
        if text and not only_links(text):
            turns.append(Turn(person(head[3]), text, source, moment(re.sub(r"\s+", " ", head[2]))))
        else:
            parsed.left_out["media notices"] += 1
    owner = next((who for who in ("Me", "You") if any(turn.author == who for turn in turns)), "")
    parsed.conversations.append(Conversation(file.name, turns, owner))
    return parsed


def _imessage_html(file: File) -> Parsed:
    parsed = Parsed(IMESSAGE)
    turns: list[Turn] = []
    seen: set[str] = set()
    for number, item in enumerate(elements(file.text, lambda one: one.classes[:1] == ["message"]), 1):
        sender, time = item.first("sender"), item.first("timestamp")
        bubble = item.first("bubble")
        text = clean(shown(bubble)) if bubble else ""
        mine = item.first("sent") is not None
        when = shown(time) if time else ""
        key = f"{when}{text}"
        if text and key not in seen and not only_links(text):
            who = "Me" if mine else person(shown(sender)) if sender else ""
            moment_text = re.match(r"\w{3} \d{2}, \d{4} +\d+:\d+:\d+ [AP]M", when)
            turns.append(
                Turn(
                    who,
                    text,
                    f"{file.name}#{number}",
                    moment(re.sub(r"\s+", " ", moment_text[0])) if moment_text else None,
                )
            )
        else:
            parsed.left_out["media notices"] += 1
        seen.add(key)
    parsed.conversations.append(Conversation(file.name, turns, "Me"))
    return parsed


def _sms(file: File) -> Parsed:
    """SMS Backup & Restore: one conversation a number."""
    parsed = Parsed(SMS)
    if "<!ENTITY" in file.text[:5000]:
        raise BadInput(f"{file.name}: XML with entities of its own is not read. Export the messages again.")
    try:
        root = ElementTree.fromstring(re.sub(r"\A\s*<\?xml[^>]*\?>", "", file.text))
    except ElementTree.ParseError as error:
        raise BadInput(f"{file.name}: broken XML ({error}). Export the messages again.") from error
    talks: dict[str, list[Turn]] = {}
    for number, item in enumerate(root, 1):
        text = clean(item.get("body") or "") if item.tag == "sms" else _mms(item)
        if not text or text == "null" or only_links(text) or item.get("type") in ("3", "5"):
            parsed.left_out["media notices"] += 1
            continue
        outgoing = (
            item.get("type", item.get("msg_box")) in ("2", "4")
            if item.tag == "sms"
            else item.get("msg_box") in ("2", "4")
        )
        name = item.get("contact_name") or ""
        address = item.get("address") or ""
        other = person(name) if name and name not in ("(Unknown)", "null") else address
        turn = Turn("Me" if outgoing else other, text, f"{file.name}#{number}", moment(_number(item.get("date"))))
        talks.setdefault(address, []).append(turn)
    for turns in talks.values():
        parsed.conversations.append(Conversation(file.name, sorted(turns, key=lambda one: one.time or 0), "Me"))
    return parsed


def _mms(item: Any) -> str:
    parts = [part.get("text") or "" for part in item.iter("part") if part.get("ct") == "text/plain"]
    return clean("\n".join(part for part in parts if part != "null"))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and len(text) < 20 else None
