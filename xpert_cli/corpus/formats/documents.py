"""Documents of word processors, a message a paragraph: .docx, .odt, .rtf, PDF. Other binary files are refused by name.

.docx and .odt are zip archives of XML, which the standard library reads; RTF and PDF need the extra `documents`.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import Any
from xml.etree import ElementTree

from xpert_cli.corpus.formats.prose import WORD, paragraphs
from xpert_cli.corpus.messages import Message
from xpert_cli.corpus.sources import File
from xpert_cli.corpus.turns import Parsed, clean
from xpert_cli.errors import BadInput, MissingExtra

DOCX, ODT, RTF, PDF = "Word document", "OpenDocument text", "RTF document", "PDF"

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_T = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_O = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_LARGEST = 1 << 28  # bytes of a document's XML
_SIGNATURES = (
    (b"\xd0\xcf\x11\xe0", "an old Word, Excel or Outlook file", "Save it as .docx, or as text"),
    (b"\x89PNG", "a picture", "Give a file with text you wrote"),
    (b"\xff\xd8\xff", "a picture", "Give a file with text you wrote"),
    (b"GIF8", "a picture", "Give a file with text you wrote"),
    (b"RIFF", "a picture, a sound or a film", "Give a file with text you wrote"),
    (b"OggS", "a sound", "Give a file with text you wrote"),
    (b"ID3", "a sound", "Give a file with text you wrote"),
    (b"SQLite format 3", "a database", "Export the chats from the app as text or JSON, or with an exporter"),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it, and name the folder"),
    (b"Rar!", "a RAR archive", "Unpack it, and name the folder"),
    (b"GGUF", "a model", "Give a file with text you wrote"),
    (b"\x7fELF", "a program", "Give a file with text you wrote"),
    (b"PAR1", "a Parquet table", "Save it as JSON lines or CSV"),
)
_KINDS = (
    ("xl/", "a spreadsheet", "Save it as CSV"),
    ("ppt/", "slides", "Save the text of them"),
    ("META-INF/container.xml", "an e-book", "Give what you wrote yourself as text"),
    ("Index/Document.iwa", "a Pages document", "Export it as Word or text"),
)


def read(file: File) -> Parsed | None:
    """A document's paragraphs.

    Raises:
        BadInput: a binary file of another kind, or a damaged document.
        MissingExtra: the package that reads it is not installed.
    """
    data = file.head
    if data[:4] == b"PK\x03\x04":
        return _zipped(file)
    if data[:1024].lstrip().startswith(b"%PDF-"):
        return _pdf(file)
    if data[:6].lstrip().startswith(b"{\\rtf"):
        return _rtf(file)
    for signature, what, fix in _SIGNATURES:
        if data.startswith(signature):
            raise BadInput(f"{file.name} is {what}, not text: a binary file. {fix}.")
    return None


def _zipped(file: File) -> Parsed:
    try:
        with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
            names = archive.namelist()
            for name, kind, paragraphs_of in (("word/document.xml", DOCX, _docx), ("content.xml", ODT, _odt)):
                spreadsheet = any(one.startswith(("xl/", "ppt/")) for one in names)
                if name in names and not spreadsheet and _is_text(archive, names):
                    with archive.open(name) as part:
                        xml = part.read(_LARGEST + 1)
                    return _checked(file.name, kind, paragraphs_of(_parsed(file.name, xml)))
            for begin, kind, fix in _KINDS:
                if any(one.startswith(begin) for one in names):
                    raise BadInput(f"{file.name} is {kind}, which is not read. {fix}.")
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise BadInput(
            f"{file.name} is a damaged or locked document ({error}). Save it again, without a password."
        ) from error
    if file.source.many and "[Content_Types].xml" not in names:
        raise BadInput(f"{file.name} is an archive inside {file.source.shown}. Name it beside, or unpack it.")
    raise BadInput(f"{file.name} is a document of a kind that is not read. Save it as .docx or as text.")


def _is_text(archive: zipfile.ZipFile, names: list[str]) -> bool:
    kind = archive.read("mimetype")[:100] if "mimetype" in names else b"text"
    return b"text" in kind


def _parsed(name: str, xml: bytes) -> ElementTree.Element:
    if len(xml) > _LARGEST or b"<!ENTITY" in xml[:10_000]:
        raise BadInput(f"{name} is too large, or has XML of a kind that documents do not have. Save it as text.")
    try:
        return ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise BadInput(f"{name} is a damaged document ({error}). Save it again.") from error


def _docx(root: ElementTree.Element) -> Iterator[str]:
    for paragraph in root.iter(f"{_W}p"):
        style = paragraph.find(f"{_W}pPr/{_W}pStyle")
        value = (style.get(f"{_W}val") or "").lower() if style is not None else ""
        if not value.startswith(
            ("heading", "title", "subtitle", "toc", "quote", "intensequote", "code", "footer", "header")
        ):
            yield "".join(_docx_text(paragraph))


def _docx_text(element: ElementTree.Element) -> Iterator[str]:
    for child in element:
        if child.tag == f"{_W}t":
            yield child.text or ""
        elif child.tag in (f"{_W}br", f"{_W}cr"):
            yield "\n"
        elif child.tag == f"{_W}tab":
            yield "\t"
        elif child.tag.endswith("}Fallback") or child.tag in (
            f"{_W}del",
            f"{_W}moveFrom",
            f"{_W}p",
            f"{_W}pPr",
            f"{_W}instrText",
        ):
            continue
        else:
            yield from _docx_text(child)


def _odt(root: ElementTree.Element) -> Iterator[str]:
    body = root.find(f"{_O}body")
    for element in body if body is not None else ():
        yield from _odt_paragraphs(element)


def _odt_paragraphs(element: ElementTree.Element) -> Iterator[str]:
    for child in element:
        if child.tag == f"{_T}p":
            yield "".join(_odt_text(child))
        elif child.tag not in (f"{_T}h", f"{_T}tracked-changes", f"{_T}table-of-content", f"{_O}forms"):
            yield from _odt_paragraphs(child)


def _odt_text(element: ElementTree.Element) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag == f"{_T}s":
            yield " " * int(child.get(f"{_T}c") or 1)
        elif child.tag == f"{_T}line-break":
            yield "\n"
        elif child.tag == f"{_T}tab":
            yield "\t"
        elif child.tag not in (f"{_O}annotation", f"{_T}note", f"{_T}bookmark"):
            yield from _odt_text(child)
        yield child.tail or ""


def _rtf(file: File) -> Parsed:
    try:
        text = str(import_module("striprtf.striprtf").rtf_to_text(file.data.decode("latin-1"), errors="ignore"))
    except ImportError as error:
        raise MissingExtra("reading RTF documents", "documents") from error
    except Exception as error:  # the package fails in many ways on broken files
        raise BadInput(f"{file.name} is a damaged RTF document. Save it as text.") from error
    return _checked(file.name, RTF, text.split("\n"))


def _checked(name: str, kind: str, texts: Any) -> Parsed:
    """Paragraphs of three words or more as messages."""
    parsed = Parsed(kind)
    for number, text in enumerate(map(clean, texts), 1):
        if len(WORD.findall(text)) >= 3:
            parsed.messages.append(Message("", text, f"{name}:{number}", True))
        elif text:
            parsed.left_out["fragments under three words"] += 1
    return parsed


def _pdf(file: File) -> Parsed:
    try:
        pdf = import_module("pypdf")
    except ImportError as error:
        raise MissingExtra("reading PDF files", "documents") from error
    try:
        pages = [str(page.extract_text()) for page in pdf.PdfReader(io.BytesIO(file.data)).pages]
    except Exception as error:  # the package fails in many ways on broken files
        locked = "encrypt" in str(error).lower() or "password" in str(error).lower()
        why = "has a password" if locked else "is damaged"
        raise BadInput(f"{file.name}: this PDF {why}. Save its text as a text file.") from error
    parsed = Parsed(PDF)
    parsed.messages = paragraphs(file.name, _flowing(pages), parsed.left_out)
    if b"%%EOF" not in file.data[-4096:]:
        parsed.notes.append(f"{file.name}: the end of this PDF is missing, and some of its text may be too")
    if not any(page.strip() for page in pages):
        raise BadInput(f"{file.name}: this PDF holds pictures of text only. Save its text as a text file.")
    return parsed


def _flowing(pages: list[str]) -> str:
    """Pages as one text: without page numbers and running titles, words put together, paragraphs parted where a line
    ends a sentence far before the margin."""
    split = [[line.strip() for line in page.split("\n")] for page in pages]
    edges = Counter(line for lines in split for line in {*[x for x in lines if x][:1], *[x for x in lines if x][-1:]})
    running = {line for line, count in edges.items() if count > 2 and count * 2 > len(pages)}
    lines = [
        line
        for page in split
        for line in page
        if line not in running and not re.fullmatch(r"[-–— ]*\d{1,4}[-–— ]*(?:/ ?\d+)?", line)
    ]
    widest = max(map(len, lines), default=0)
    text = ""
    for line in lines:
        if not line:
            text = text.rstrip() + "\n\n"
        elif text.endswith("-") and line[:1].islower():
            text = text[:-1] + line
        else:
            text += ("" if not text or text.endswith("\n") else " ") + line
        if line.endswith((".", "!", "?", "…", ":", "”")) and len(line) < 0.75 * widest:
            text += "\n\n"
    return text
