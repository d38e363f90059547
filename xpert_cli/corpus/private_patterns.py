"""Expressions for what is private in a text, beside those of libraries: tables, and checks of what has check digits.

    for kind, pattern, group, valid, need in MORE: ...

Each is linear in a text of bounded length: what may begin with a long run of characters begins where the run does, so
that no run is tried from each of its characters. Not here: how a text is read by them (corpus/private_data.py).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from xpert_cli.corpus.private_needs import ADDRESS, DIGIT, LONG, LONGER, MARK, SEED, SLASH

Check = Callable[[str], bool]

_B58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def is_base58check(text: str) -> bool:
    """Whether a text is base58 whose last four bytes are the double sha256 of the others, as wallets write it."""
    number = 0
    for character in text:
        if (digit := _B58.find(character)) < 0:
            return False
        number = number * 58 + digit
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    data = bytes(len(text) - len(text.lstrip("1"))) + data
    return len(data) > 20 and hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


def is_bech32(text: str) -> bool:
    """Whether the checksum of a bech32 or bech32m text is right (BIP 173 and 350)."""
    head, _, tail = text.lower().rpartition("1")
    if not head or any(character not in _BECH32 for character in tail):
        return False
    values = [*(ord(c) >> 5 for c in head), 0, *(ord(c) & 31 for c in head), *map(_BECH32.index, tail)]
    check = 1
    for value in values:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, part in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= part if top >> bit & 1 else 0
    return check in (1, 0x2BC830A3)


def is_mrz(line: str) -> bool:
    """Whether the second line of a passport's machine-readable zone has right check digits (ICAO 9303)."""
    weights, worth = (7, 3, 1), {c: i for i, c in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")} | {"<": 0}

    def digit(part: str) -> str:
        return str(sum(worth[c] * weights[i % 3] for i, c in enumerate(part)) % 10)

    return digit(line[:9]) == line[9] and digit(line[13:19]) == line[19] and digit(line[21:27]) == line[27]


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _is_mixed(text: str) -> bool:
    """Digits and letters, or both kinds of letters: what an issuer drew, and no word."""
    return _has_digit(text) and any(character.isalpha() for character in text)


_NUMBER_WORD = r"(?:[\s-]{0,2}(?:number|numbers|no|nr|n[°ºo]|num|nummer|numéro|número|numero|id|#)\.?)?"
_IS = r"\s{0,2}(?:is|ist|es|est|è|é|was|lautet|:|=|#|-)?\s{0,2}:?\s{0,2}"
_PASSPORT = re.compile(
    rf"\b(?:passports?|reisepass|pass-?nr|passnummer|passeport|pasaporte|passaporte|passaporto|paspoort|paszport\w*"
    rf"|паспорт\w*|driver'?s? licen[cs]e|driving licen[cs]e|führerschein|permis de conduire|identity card|id card"
    rf"|personalausweis\w*|ausweis(?:nummer|-?nr)|carte d'identité|carta d'identità|dowód osobisty){_NUMBER_WORD}{_IS}"
    r"((?=[A-Z0-9 ]*\d[A-Z0-9 ]*\d[A-Z0-9 ]*\d)(?:[A-Z0-9]{6,13}|[A-Z]{1,3} ?\d{5,9}|\d{2} ?\d{2} ?\d{6}))\b",
    re.IGNORECASE,
)
_ZONE = re.compile(r"(?<![\w<])[PIAC][A-Z<][A-Z]{3}[A-Z<]{25,39}(?![\w<])")  # what a passport's machine reads
_URL = r"https?://[^\s<>\"'“”]{1,200}?"
_SECRET_WORDS = (
    "access_token|refresh_token|id_token|auth_token|token|auth|apikey|api_key|api-key|key|sig|signature|secret|password"
    "|passwd|pwd|code|session|sessionid|sid|jwt|ticket|invite|rlkey|resourcekey|x-amz-signature|x-goog-signature|sv|otp"
    "|magic|hash|t|reset|confirmation_token|unsubscribe|share|authkey|sharing"
)
_SHORT_LINKS = (
    r"(?:discord\.gg|discord(?:app)?\.com/invite)/[\w-]{5,}",
    r"chat\.whatsapp\.com/(?:invite/)?[A-Za-z0-9]{15,}",
    r"t\.me/(?:joinchat/|\+)[\w-]{10,}",
    r"hooks\.slack\.com/services/[\w/]{15,}",
    r"discord(?:app)?\.com/api/webhooks/\d+/[\w-]{20,}",
    r"(?:docs|drive|forms)\.google\.com/[\w/]{0,40}/d/(?:e/)?[\w-]{20,}",
    r"drive\.google\.com/(?:drive/folders/|open\?id=)[\w-]{20,}",
    r"(?<![\w-])[\w-]+\.zoom\.us/[js]/\d+\?pwd=[\w.-]+",
    r"teams\.microsoft\.com/l/meetup-join/[\w%@.-]{20,}",
    r"1drv\.ms/\w/[\w!-]{10,}",
    r"(?:www\.)?dropbox\.com/(?:s|scl/fi|sh)/[\w/-]{15,}",
    r"(?<![\w.-])[\w.-]+/(?:reset|verify|confirm|activate|magic|invite|share|unsubscribe)[\w-]*/[\w-]{16,}",
)
_KEYS = (  # of services, by the beginning that each gives its keys
    r"sk-(?:proj-|svcacct-|ant-[a-z0-9]+-|or-v1-|live-|test-)?[A-Za-z0-9_-]{20,}",
    r"hf_[A-Za-z0-9]{30,}",
    r"AIza[\w-]{33,37}",
    r"ya29\.[\w-]{20,}",
    r"GOCSPX-[\w-]{20,}",
    r"xox[abeoprs]-[\w-]{10,}",
    r"xapp-\d-[\w-]{10,}",
    r"gl(?:pat|dt|rt|ptt|soat|ft|cbt)-[\w.-]{20,}",
    r"gh[opsur]_[A-Za-z0-9]{30,}",
    r"github_pat_\w{22,}",
    r"do[opr]_v1_[a-f0-9]{40,}",
    r"SG\.[\w-]{16,}\.[\w-]{16,}",
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-[\w-]{40,}",
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    r"sq0(?:csp|atp|idp)-[\w-]{20,}",
    r"(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{16}",
    r"key-[0-9a-f]{32}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}",
    r"whsec_[A-Za-z0-9+/=]{24,}",
    r"EAA[A-Za-z0-9]{30,}",
    r"ATATT[\w=-]{30,}",
    r"(?:lin_api|lin_oauth)_[A-Za-z0-9]{32,}",
    r"tskey-[a-z]+-[\w-]{15,}",
    r"r8_[A-Za-z0-9]{30,}",
    r"gsk_[A-Za-z0-9]{30,}",
    r"xai-[A-Za-z0-9]{30,}",
    r"pplx-[A-Za-z0-9]{30,}",
    r"dckr_pat_[\w-]{20,}",
    r"hv[sbr]\.[\w-]{20,}",
    r"NRAK-[A-Z0-9]{20,}",
    r"(?:sntrys|sntryu)_[\w+/=-]{20,}",
    r"figd_[\w-]{20,}",
    r"(?:secret|ntn)_[A-Za-z0-9]{40,}",
    r"pat-(?:na|eu)\d-[a-f0-9-]{30,}",
    r"dapi[a-f0-9]{32}",
    r"dp\.(?:pt|st|ct)\.[\w.-]{30,}",
    r"rubygems_[a-f0-9]{40,}",
    r"(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/=]{40,}",
    r"AGE-SECRET-KEY-1[0-9A-Z]{30,}",
    r"AC[a-f0-9]{32}|SK[a-f0-9]{32}",
    r"\d{8,10}:AA[\w-]{32,}",
    r"[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,}",
    r"PMAK-[a-f0-9]{20,}-[a-f0-9]{30,}",
    r"sbp_[a-f0-9]{40}",
    r"phc_[A-Za-z0-9]{40,}",
)
_MARKED_BLOCKS = (
    r"-{4,5} ?BEGIN (?:[A-Z0-9]+ ){0,4}(?:PRIVATE KEY|SECRET KEY)(?: BLOCK)? ?-{4,5}",
    r"untrusted comment: (?:minisign|signify|rsign)[^\n]{0,20} secret key",
    r"Private-(?:Lines|MAC): ?[0-9a-f]+",
    r"-----BEGIN AGE ENCRYPTED FILE-----",
    r"<RSAKeyValue>",
)
_LONG_BLOCKS = (
    r"PuTTY-User-Key-File-\d(?::[ \t]?[\w-]+)?",
    r"(?:PrivateKey|PresharedKey) ?= ?[A-Za-z0-9+/]{43}=",
    r"\"(?:d|k|privateKeyMultibase|private_key)\" ?: ?\"[\w+/=-]{32,}",
    r"age-encryption\.org/v1",
    r"\b[xyz]prv[1-9A-HJ-NP-Za-km-z]{70,}",
)
_STREET_WORDS = (  # the name follows: Calle Mayor 5, Via Roma 12, ul. Długa 7, Rua Augusta, 150
    r"(?:calle|c/|avenida|avda\.?|av\.|plaza|paseo|camino|carrer|via|viale|piazza|corso|largo|vicolo|strada|rua|travessa"
    r"|praça|alameda|ul\.|ulica|al\.|os\.|pl\.|utca|ulice|улица|ул\.|проспект|пр-т|calea|bulevardul|str\.|jalan|jl\.)"
)
_ADDRESSES = (
    rf"\b(?i:{_STREET_WORDS}) ?(?:d[aeio]s? |del |della |dei |de la |de las |de los |los |las |la |el )?"
    r"[A-ZÀ-ÝА-ЯŁŚŻ0-9][\w.'’-]+(?: (?:d[aeio]s? |del |de la |y |e )?[A-ZÀ-ÝА-ЯŁŚŻ][\w'’-]+){0,3},? "
    r"(?:n[°ºr.o]{0,2} ?|д\. ?)?\d{1,4}(?:[/-]\d{1,4})?[a-zA-Z]?\b",
    r"\b(?:Am|An der|Auf der?|Im|In der|Zum|Zur|Unter den|Beim|Hinter der|Alte|Alter|Neue|Neuer|Große|Kleine) "
    r"[A-ZÄÖÜ][\wäöüß-]+(?: [A-ZÄÖÜ][\wäöüß-]+)? \d{1,3} ?[a-h]?(?=[,;\n]|\.(?:\s|$)|$| in \d{5})",
    r"\b(?:Straße|Platz|Allee|Ufer) de[rs] [\d. ]{0,4}[A-ZÄÖÜ][\wäöüß-]+ \d{1,4}[a-z]?\b",
    r"(?<![\w-])[A-ZÄÖÜÅØ][\w-]+(?:gatan|vägen|gränd|torget|veien|vegen|gata|gate|gade|allé|stræde|katu|tie|kuja|plein|kade|weg"
    r"|steeg|dreef|singel|gracht|út|ring|damm|ufer|steig|stieg|chaussee|graben|markt|hof|berg)"
    r" \d{1,4} ?[A-Za-z]?(?=[,;\n]|\.(?:\s|$)|$)",
    r"\b(?:P\.? ?O\.? ?Box|Postfach|Apartado(?: de Correos)?|Boîte Postale|Casella Postale|Caixa Postal|Postbus)"
    r" \d{2,7}\b",
    r"\b(?:GIR ?0AA|[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d|[A-HK-Y]\d\d|\d[A-HJKPSTUW]"
    r"|[A-HK-Y]\d[ABEHMNPRV-Y])) \d[ABD-HJLNP-UW-Z]{2}\b",
    r"\b[ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z] \d[ABCEGHJ-NPRSTV-Z]\d\b",
    r"(?<![\w.'’-])[A-Z][a-zA-Z.'’-]+(?: [A-Z][a-zA-Z.'’-]+){0,3},? (?:AL|AK|AZ|AR|CA|CO|CT|DC|DE|FL|GA|HI|IA|ID|IL|IN"
    r"|KS|KY|LA|MA|MD|ME|MI|MN|MO|MS|MT|NC|ND|NE|NH|NJ|NM|NV|NY|OH|OK|OR|PA|RI|SC|SD|TN|TX|UT|VA|VT|WA|WI|WV|WY)"
    r",? \d{5}(?:-\d{4})?\b",
    r"\b(?:[Aa]partment|[Aa]pt\.?|[Uu]nit|[Ff]lat|[Ss]uite|[Ww]ohnung) #?\d{1,4}[A-Za-z]?, \d{1,5} [A-Z]\w+",
    r"〒 ?\d{3}-\d{4}",
    r"[\w]{1,8}[都道府県][\w]{1,10}[市区町村][\w]{0,12}\d{1,4}(?:[-丁]\d{1,4}){1,2}",
    r"\b[A-ZÇĞİÖŞÜ][\wçğıöşü]+ (?:Cad(?:desi|\.)|Sok(?:ak|ağı|\.)|Bulvarı|Mah(?:allesi|\.)),? ?(?:No|no)[:.]? ?\d{1,4}",
    r"\b(?:D|A|CH|F|NL|B|DK|S|PL|I)-\d{4,5} [A-ZÄÖÜÀ-Ý][\wäöüß-]+",
    r"\b[A-ZÄÖÜ][\w.ß-]+ \d{1,4}[a-z]?, ?\d{5} [A-ZÄÖÜ][\wäöüß-]+",
    r"\b\d{1,4} [A-Z][a-z]+(?:,| [A-Z][a-z]+,) (?:Apt|Unit|Suite|Floor|Flat)\.? ?\w{1,4}\b",
    r"\b\d{1,5} (?:[A-Z][\w'’-]+ ){1,3}(?:Circle|Cir|Trail|Trl|Loop|Row|Mews|Gardens|Grove|Hill|Rise|View|Walk|Wharf"
    r"|Quay|Alley|Pike|Run|Ridge|Heights|Park|Green|Parade|Esplanade)\b(?=[,.;\n]|$)",
)
_WALLETS: tuple[tuple[str, Check], ...] = (
    (r"(?<![\w])[13LMDXtrRAT5KkL9c][1-9A-HJ-NP-Za-km-z]{25,52}(?![\w])", is_base58check),
    (r"(?<![\w])(?:bc1|tb1|ltc1|addr1|cosmos1|osmo1|lnbc|bnb1|nsec1|npub1)[02-9ac-hj-np-z]{20,110}(?![\w])", _is_mixed),
    (r"(?<![\w])0x[0-9a-fA-F]{40}(?![\w])", _has_digit),
    (r"(?<![\w])0x[0-9a-fA-F]{64}(?![\w])", _has_digit),
    (r"(?<![\w])[48][0-9AB][1-9A-HJ-NP-Za-km-z]{93}(?![\w])", _is_mixed),
    (r"(?<![\w])r[1-9A-HJ-NP-Za-km-z]{27,34}(?![\w])", _is_mixed),
    (r"(?<![\w])(?:EQ|UQ)[\w-]{46}(?![\w])", _is_mixed),
    (r"(?<![\w])bitcoincash:[qp][02-9ac-hj-np-z]{41}(?![\w])", _is_mixed),
)
_SOLANA = re.compile(
    r"\b(?:wallet|solana|sol|phantom|address|adresse|dirección)\b[^\n]{0,24}?[: ]((?=\w*\d)(?=\w*[A-Z])(?=\w*[a-z])"
    r"[1-9A-HJ-NP-Za-km-z]{32,44})\b",
    re.IGNORECASE,
)
_SEED_WORDS = re.compile(
    r"\b(?:seed|recovery|backup|mnemonic|secret)(?: (?:phrase|words?|key))?(?: is|:| =)? ?[\"“]?"
    r"((?:[a-z]{3,8}[ ,]{1,2}){11,23}[a-z]{3,8})\b"
)
_PUBLIC_LINK = re.compile(r"^(?:true|false|\d{1,4}|[a-z]{1,12}|[a-z]+(?:[-_+][a-z]+)+)$", re.IGNORECASE)


def _is_token(value: str) -> bool:
    """Whether the value of a link's parameter was drawn, and is no word, flag or small number."""
    return len(value) >= 6 and _has_digit(value) and not _PUBLIC_LINK.fullmatch(value)


# Kind, expression, the group that is private, what has to hold of it, and what the line needs.
MORE: tuple[tuple[str, re.Pattern[str], int, Check, int], ...] = (
    *(("private key", re.compile(form), 0, bool, MARK) for form in _MARKED_BLOCKS),
    *(("private key", re.compile(form), 0, bool, LONG) for form in _LONG_BLOCKS),
    *(("key of a service", re.compile(rf"(?<![\w]){form}(?![\w])"), 0, _is_mixed, LONG | DIGIT) for form in _KEYS),
    *(("wallet", re.compile(form), 0, check, LONGER) for form, check in _WALLETS),
    ("wallet", _SOLANA, 1, _is_mixed, LONGER | DIGIT),
    ("seed phrase", _SEED_WORDS, 1, bool, SEED),
    *(
        ("link with a token", re.compile(rf"(?:https?://|\b){form}", re.IGNORECASE), 0, bool, LONG | SLASH)
        for form in _SHORT_LINKS
    ),
    (
        "link with a token",
        re.compile(rf"{_URL}[?&#;](?:{_SECRET_WORDS})=([\w.%~+/=:-]{{6,}})", re.IGNORECASE),
        1,
        _is_token,
        LONG | ADDRESS | DIGIT,
    ),
    ("passport or identity card", _PASSPORT, 1, _has_digit, DIGIT),
    (
        "passport or identity card",
        re.compile(r"(?<![\w<])[PIAC][A-Z<][A-Z]{3}[A-Z<]{25,39}(?![\w<])"),
        0,
        lambda m: "<<" in m,
        LONGER,
    ),
    (
        "passport or identity card",
        re.compile(r"(?<![\w<])[A-Z0-9<]{9}\d[A-Z<]{3}\d{7}[MF<X]\d{7}[A-Z0-9<]{14,16}(?![\w<])"),
        0,
        is_mrz,
        LONGER | DIGIT,
    ),
)
ADDRESSES: tuple[re.Pattern[str], ...] = tuple(re.compile(form) for form in _ADDRESSES)
