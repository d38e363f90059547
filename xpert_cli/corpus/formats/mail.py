"""Mail: mbox, single messages (.eml), and the files of a Maildir; your address or name is the author.

Quoted-printable, base64, HTML-only mail; quoted mail, forwarded mail and signatures are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parseaddr

from xpert_cli.corpus.encodings import decode
from xpert_cli.corpus.formats.threads import Mail, lines
from xpert_cli.corpus.markup import prose
from xpert_cli.corpus.quoted import own
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.times import moment
from xpert_cli.corpus.turns import Conversation, Parsed, Turn, clean, person
from xpert_cli.errors import BadInput

KIND = "mail"

_FROM_LINE = re.compile(rb"^From \S+.*\d{4}\r?$", re.MULTILINE)
_FIELD = re.compile(rb"[!-9;-~]{2,70}:[ \t\r\n]")
_HEADERS = {
    b"from",
    b"to",
    b"subject",
    b"date",
    b"message-id",
    b"mime-version",
    b"received",
    b"return-path",
    b"delivered-to",
    b"cc",
    b"reply-to",
    b"content-type",
}
_IDS = re.compile(r"<[^<>\s]{1,250}>")
_AUTOMATIC = re.compile(r"no-?reply|mailer-daemon|donotreply|notifications?@|postmaster", re.IGNORECASE)


def read(file: File) -> Parsed | None:
    """Mail, if the file begins with the header of one."""
    start = file.head[:4].lstrip()[:5]
    first = _FROM_LINE.match(file.head) if start.startswith(b"From") else None
    if first is None and not _begins_with_header(file.head):
        return None
    data = file.data
    parsed = Parsed(KIND)
    mails: list[Mail] = []
    sent_counts: Counter[str] = Counter()
    others: dict[str, set[str]] = {}
    for offset, raw in _messages(data, first is not None):
        line = data.count(b"\n", 0, offset) + 1
        if mail := _turn(f"{file.name}:{line}", raw, parsed, others, sent_counts):
            mails.append(mail)
    owner = sent_counts.most_common(1)[0][0] if sent_counts else ""
    aliases = {name: frozenset(names) for name, names in others.items()}
    for turns, linked in lines(mails):
        parsed.conversations.append(Conversation(file.name, turns, owner, aliases, linked=linked))
    return parsed


def _begins_with_header(data: bytes) -> bool:
    """Whether the first lines are a mail's: known fields only, from somebody, then a blank line."""
    head = data.lstrip(b"\xef\xbb\xbf").split(b"\n\n")[0].split(b"\r\n\r\n")[0]
    names = [line.split(b":")[0].strip().lower() for line in head.splitlines() if _FIELD.match(line + b"\n")]
    whole = all(_FIELD.match(line + b"\n") or line[:1] in b" \t" for line in head.splitlines() if line)
    return whole and b"from" in names and len(_HEADERS & set(names)) >= 3


def _messages(data: bytes, mbox: bool) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each mail."""
    if not mbox:
        yield 0, data
        return
    starts = [
        match.start()
        for match in _FROM_LINE.finditer(data)
        if match.start() == 0
        or (
            data[: match.start()].endswith((b"\n\n", b"\r\n\r\n", b"\n"))
            and _FIELD.match(data, data.find(b"\n", match.start()) + 1)
        )
    ]
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        body = data.find(b"\n", start) + 1
        yield start, re.sub(rb"^>(>*From )", rb"\1", data[body:end], flags=re.MULTILINE)


def _turn(
    source: str, raw: bytes, parsed: Parsed, others: dict[str, set[str]], sent_counts: Counter[str]
) -> Mail | None:
    """A mail as a turn, with what it answers; `sent` counts who a mailbox's owner is, where it says what was sent."""
    mail = BytesParser(policy=policy.default).parsebytes(raw)
    assert isinstance(mail, EmailMessage)
    name, address = parseaddr(_header(mail, "From"))
    who = person(name) or address.lower()
    subject = _header(mail, "Subject")
    if (
        _AUTOMATIC.search(address)
        or _header(mail, "Auto-Submitted").lower().startswith("auto")
        or _header(mail, "List-Unsubscribe")
    ):
        parsed.left_out["automatic mail and newsletters"] += 1
        return None
    others.setdefault(who, set()).update({who, address.lower()} - {""})
    text = clean(own(_body(mail), parsed.left_out))
    if re.search(
        r"(?:^|,)\s*(?:Sent|Gesendet|Enviados|Messages envoyés|Inviati|Enviados)\s*(?:,|$)",
        _header(mail, "X-Gmail-Labels"),
    ):
        sent_counts[who] += 1
    if not text:
        parsed.left_out["mails without own text"] += 1
        return None
    thread = (
        _header(mail, "X-GM-THRID")
        or _header(mail, "Thread-Topic")
        or re.sub(
            r"^(?:\s*(?:re|aw|sv|antw|odp|res|rif|r|vs|fwd?|wg|tr|回复|回覆|答复|返信|отв"
            r"|ynt)\s*(?:\[\d+\])?\s*[:：])+\s*",
            "",
            subject,
            flags=re.IGNORECASE,
        )
        .strip()
        .lower()
    )
    answered = _IDS.findall(_header(mail, "In-Reply-To")) or _IDS.findall(_header(mail, "References"))
    ids = _IDS.findall(_header(mail, "Message-ID"))
    turn = Turn(who, text, source, moment(_header(mail, "Date")))
    return Mail(turn, thread or source, ids[0] if ids else "", answered[-1] if answered else "")


def _header(mail: EmailMessage, name: str) -> str:
    """A header's text, "" if it is missing or broken."""
    try:
        return str(mail.get(name, "") or "")
    except Exception:  # the standard library fails in several ways on broken headers
        return ""


def _body(mail: EmailMessage) -> str:
    """The plain text, or the HTML's prose where there is no plain text."""
    try:
        part = mail.get_body(("plain", "html"))
    except Exception:  # as above
        part = None
    if part is None or part.get_content_maintype() != "text":
        return ""
    data = part.get_payload(decode=True)
    charset = part.get_content_charset() or "utf-8"
    raw = data if isinstance(data, bytes) else b""
    try:
        text = raw.decode(charset)
    except (LookupError, UnicodeDecodeError):
        try:
            text = decode("a mail", raw).text
        except BadInput:
            text = raw.decode("latin-1")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if part.get_content_subtype() == "html":
        return prose(text)
    if str(part.get_param("format", "")).lower() == "flowed":
        text = re.sub(r"(?m)^(?!-- $)(.*[^ \n]) \n(?!>)", r"\1 ", text)
    return text
