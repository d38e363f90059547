"""What of a mail or a note its author wrote: without the mail that is answered, forwarded mail, and the signature.

own("Fine.\\n\\nOn Mon, 6 May 2024, Tove wrote:\\n> Tea?\\n-- \\nIlse")      # Own("Fine.", {"quoted lines": 2, ...})
"""

from __future__ import annotations

import re
from collections import Counter

# "On ... wrote:" in the languages of mail programs: a date in it, and a colon at its end.
_WROTE = (
    r"wrote|writes|schrieb|schreibt|geschrieben|escribió|escribi[oó]|a écrit|écrit|ha scritto|scrive|escreveu"
    r"|schreef|napisał\w*|pisze|написал\w*|пишет|писал\w*"
    r"|написа\w*|yazdı|şunları yazdı|skrev|kirjoitti|napsal\w*|írta|a scris|έγραψε|כתב\w*|كتب\w*|写道|寫道"
    r"|のメール|書きました"
    r"|작성|menulis|đã viết|เขียนว่า|ने लिखा|skrifaði|napísal\w*|napisao|napisala"
)
_INTRO = re.compile(rf"(?=[^\n]*(?:\d|@))[^\n]{{6,250}}(?:{_WROTE})[^\n]{{0,80}}[:：]\s*$", re.IGNORECASE)
_ADDRESSED = re.compile(r"(?=[^\n]*\d)[^\n]{6,200}<[^<>\s]+@[^<>\s]+>[:：]\s*$")
_INTRO_CUT = re.compile(rf"[^\n]{{0,120}}(?:{_WROTE})[^\n]{{0,40}}[:：]\s*$", re.IGNORECASE)
_ORIGINAL = re.compile(
    r"\s*(?:[-_]{2,} ?(?:original message|ursprüngliche nachricht|originalnachricht|mensaje original"
    r"|message d'origine|message original|messaggio originale"
    r"|mensagem original|oorspronkelijk bericht|wiadomość oryginalna|исходное сообщение|пересылаемое сообщение"
    r"|orijinal mesaj|ursprungligt meddelande|oprindelig meddelelse"
    r"|alkuperäinen viesti|původní zpráva|eredeti üzenet|原始邮件|原始郵件|原邮件|元のメッセージ|원본 메시지"
    r"|forwarded message"
    r"|weitergeleitete nachricht|mensaje reenviado|message transféré"
    r"|messaggio inoltrato|mensagem encaminhada|doorgestuurd bericht|przekazana wiadomość|転送|转发邮件|轉寄郵件"
    r"|vidarebefordrat meddelande|begin forwarded message) ?[-_]{2,}"
    r"|begin forwarded message:|anfang der weitergeleiteten nachricht:|début du message (?:transféré|réexpédié) ?:"
    r"|inizio messaggio inoltrato:|inicio del mensaje reenviado:)\s*",
    re.IGNORECASE,
)
_FROM = re.compile(
    r"\s*\*?(?:From|Von|De|Da|Van|Od|От|Från|Fra|Lähettäjä|Kimden|Feladó|差出人|发件人|寄件者|보낸 사람|Dari|Από|מאת"
    r"|من)\*?\s?[:：]\*? \S.*",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"\s*\*?(?:Sent|Date|To|Cc|Subject|Gesendet|Datum|An|Betreff|Enviado(?: el)?|Fecha|Para|Asunto|Assunto|Data"
    r"|Envoyé(?: le)?|À|Objet|Inviato|A|Oggetto|Verzonden|Aan|Onderwerp|Wysłano|Do|Temat"
    r"|Отправлено|Дата|Кому|Тема|Skickat|Till|Ämne|Sendt|Til|Emne|Lähetetty|Vastaanottaja|Aihe|Gönderilme|Kime"
    r"|Konu|Odesláno|Komu|Předmět|日時|送信日時|宛先|件名|发送时间|收件人|主题|寄件日期|收件者|主旨|보낸 날짜"
    r"|받는 사람|제목)\*?\s?[:：]",
    re.IGNORECASE,
)
_RULE = re.compile(r"\s*_{5,}\s*$")
_SENT_FROM = re.compile(
    r"\s*(?:sent from (?:my|mail|yahoo|outlook|samsung|the)\b.{0,60}|get outlook for .{0,20}"
    r"|von meinem .{1,30} gesendet|gesendet (?:von|mit|über) .{1,50}|enviado desde (?:mi|mail|outlook).{0,40}"
    r"|envoyé de(?:puis)? (?:mon|ma|mail|yahoo|outlook).{0,40}|inviato da(?:l mio)? .{1,40}|enviado (?:do meu"
    r"|a partir do meu|do) .{1,30}|verzonden vanaf mijn .{1,30}|wysłane z .{1,30}|отправлено (?:с|из) .{1,40}"
    r"|iPhoneから送信|发自我的.{1,20}|從我的.{1,20}傳送|나의 .{1,20}에서 보냄|내 .{1,20}에서 보냄"
    r"|skickat från min .{1,30}"
    r"|sendt fra min .{1,30}|lähetetty .{1,30})\.?\s*",
    re.IGNORECASE,
)


def own(text: str, left_out: Counter[str] | None = None) -> str:
    """The author's own lines of a mail's text; what was left out is counted by reason."""
    lines = text.split("\n")
    others = theirs(lines, Counter() if left_out is None else left_out)
    return "\n".join(line for number, line in enumerate(lines) if number not in others).strip()


def theirs(lines: list[str], left_out: Counter[str]) -> set[int]:
    """The numbers of the lines, from 0, that are quotes, other mails or a signature."""
    numbers: set[int] = set()
    number = 0
    while number < len(lines):
        line, end, reason = lines[number], number, "quoted lines"
        if line.rstrip() == "--":
            end = next((n for n in range(number, len(lines)) if begins_quote(lines, n)), len(lines))
            reason = "lines of signatures"
        elif _ends(lines, number):
            end = len(lines)
        elif line.lstrip().startswith((">", "|>")) or _intro(lines, number):
            end = number + 1
        elif _intro_cut(lines, number):
            end = number + 2
        elif _SENT_FROM.fullmatch(line):
            end, reason = number + 1, "lines of signatures"
        numbers.update(range(number, end))
        left_out[reason] += sum(bool(one.strip()) for one in lines[number:end])
        number = max(end, number + 1)
    return numbers


def begins_quote(lines: list[str], number: int) -> bool:
    """Whether a line begins what somebody else wrote."""
    line = lines[number]
    return line.startswith(">") or _ends(lines, number) or _intro(lines, number)


def _ends(lines: list[str], number: int) -> bool:
    """Whether everything from here on is another mail: a dashed title, or a header of at least two lines."""
    line = lines[number]
    if _ORIGINAL.fullmatch(line):
        return True
    if _RULE.fullmatch(line):
        number += 1
        while number < len(lines) and not lines[number].strip():
            number += 1
    if number < len(lines) and _FROM.fullmatch(lines[number]):
        after = [one for one in lines[number + 1 : number + 7] if one.strip()]
        return sum(_HEADER.match(one) is not None for one in after[:4]) >= 2
    return False


def _intro(lines: list[str], number: int) -> bool:
    """ "On Monday, 6 May 2024, Tove wrote:" with a quote, or nothing of one's own, after it."""
    return (
        len(lines[number]) < 300
        and bool(_INTRO.fullmatch(lines[number]) or _ADDRESSED.fullmatch(lines[number]))
        and _quote_follows(lines, number + 1)
    )


def _intro_cut(lines: list[str], number: int) -> bool:
    """The same, broken over two lines."""
    if number + 1 >= len(lines) or not re.search(r"\d", lines[number]) or len(lines[number]) > 200:
        return False
    return (
        bool(_INTRO_CUT.fullmatch(lines[number + 1]))
        and _quote_follows(lines, number + 2)
        and not lines[number].rstrip().endswith((".", "!", "?"))
    )


def _quote_follows(lines: list[str], number: int) -> bool:
    for line in lines[number : number + 4]:
        if line.strip():
            return line.lstrip().startswith(">")
    return True
