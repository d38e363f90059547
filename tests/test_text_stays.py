"""The user's text stays: the whole flow, with a cache on a Hub, behind a guard that lets it talk to that Hub alone.

Everything sent there is recorded and searched for the text: four words in a row, rare words (in names of files and
folders, too), plain, quoted for a URL, in base64 or hexadecimal, and digests. What a selection does tell is which
adapters it fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus, urlsplit

import pytest
from command import EXTRAS, FEW_ANSWERS, xpert
from hub_server import HubServer
from olah_hub import files_of
from socket_guard import Recorder, attempts, guarded

from xpert_cli import corpus, paths

REPO, COMMIT = "anna/styles", "c" * 40
ID = "elementary-concise-plain"
RARE = ("zyxomandrel", "quillabrax", "vornithian", "brimwoggle", "thessaquine", "plonkivar", "marrowfizz", "ubbentrode")
MESSAGES = {
    "How was the harvest?": "The zyxomandrel came late this year, and old Quillabrax would not stop laughing at us.",
    "What is for dinner?": "We boil the vornithian roots for an hour, then a pinch of salt, and nobody complains!",
    "Did you sleep well?": "Not a minute. A brimwoggle sat on the roof and sang until the milk went sour, I swear.",
    "Where is your sister?": "She took the thessaquine road to the coast because her knees hurt whenever it snows.",
    "Can you fix the clock?": "Give me a plonkivar, two springs and a quiet afternoon, and it will tick again.",
    "Is the shop open?": "Only when the marrowfizz is fresh, so come on Tuesday, and bring your own jar, please.",
    "Who won the race?": "Ubbentrode, by a nose, though everyone shouted that he had cut the corner near the chapel.",
    "What do you read?": "Old almanacs. They promise rain on the day I was born, and my mother says it poured.",
}
REQUEST = re.compile(rb"(?P<method>GET|HEAD) (?P<target>\S+) HTTP/1\.1\r\n(?P<headers>(?:[\w-]+: [^\r\n]*\r\n)*)\r\n")
HEADERS = {"host", "accept", "accept-encoding", "connection", "user-agent", "range", "x-amzn-trace-id"}
LEAK = """
import urllib.parse, urllib.request
from xpert_cli import corpus
read = corpus.read
def telling(*arguments, **options):
    found = read(*arguments, **options)
    urllib.request.urlopen({url!r} + "/" + {told})
    return found
corpus.read = telling
"""


# -- what is searched for


def shown(texts: list[str], said: bytes) -> list[str]:
    """What of `texts` can be seen in `said`: rare words, four words in a row, digests."""
    low = said.lower()
    plain = [form for text in texts for form in (*pieces(text), *digests(text))]
    return [piece for piece in dict.fromkeys(plain) if any(form.lower() in low for form in quoted(piece))] + [
        piece for text in texts for piece in pieces(text) if any(form in said for form in in_base64(piece.encode()))
    ]


def pieces(text: str) -> list[str]:
    words = re.findall(r"\w+", text)
    typed = text.split()
    rows = [" ".join(row[i : i + 4]) for row in (words, typed) for i in range(len(row) - 3)]
    return [*rows, *(word for word in words if word.lower() in RARE)]


def quoted(piece: str) -> set[bytes]:
    forms = {piece, quote(piece), quote_plus(piece), piece.replace(" ", "-"), piece.replace(" ", "_")}
    return {form.encode() for form in forms} | {piece.encode().hex().encode()}


def in_base64(data: bytes) -> Iterator[bytes]:
    """What base64 shows of `data` at any place of a longer message, in both alphabets."""
    for before in range(3):
        coded = base64.b64encode(bytes(before) + data)[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield from (coded, coded.translate(bytes.maketrans(b"+/", b"-_")))


def digests(text: str) -> Iterator[str]:
    """The first twelve digits of its digests, in hexadecimal and base64."""
    for name in ("md5", "sha1", "sha256", "sha512", "blake2b"):
        digest = hashlib.new(name, text.encode()).digest()
        yield digest.hex()[:12]
        yield base64.b64encode(digest).decode()[:12]


@pytest.mark.parametrize(
    "said",
    [
        b"GET /a?q=the+milk+went+sour HTTP/1.1",
        b"GET /a?q=The%20Milk%20went%20sour HTTP/1.1",
        b"User-Agent: brimwoggle",
        b"Cookie: " + base64.b64encode(b"A brimwoggle sat"),
        b"Cookie: " + base64.b64encode(b"until the milk went sour, I swear"),
        b"Cookie: " + b"the milk went sour".hex().encode(),
        b"ETag: " + hashlib.sha256(b"A brimwoggle sang until the milk went sour, I swear.").hexdigest().encode(),
        b"ETag: " + base64.b64encode(hashlib.md5(b"A brimwoggle sang until the milk went sour, I swear.").digest()),
    ],
)
def test_a_text_is_found_in_what_was_said(said):
    assert shown(["A brimwoggle sang until the milk went sour, I swear."], said)
    assert not shown(["A brimwoggle sang until the milk went sour, I swear."], b"GET /until/the/milk?q=went HTTP/1.1")


# -- the guard


TRY = """
import os, socket, subprocess, sys
{guard}
def attempt(what, *arguments):
    try:
        what(*arguments)
    except OSError as error:
        print(type(error).__name__)
    else:
        print("done")
attempt(socket.create_connection, {other!r})
attempt(socket.socket().connect_ex, {other!r})
attempt(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto, b"hello", {other!r})
attempt(socket.getaddrinfo, "hub.example", 443)
attempt(subprocess.run, ["true"])
attempt(lambda: socket.create_connection({allowed!r}).sendall(b"hello"))
"""
CHILD = """
import socket, subprocess, sys, socket_guard
print(socket_guard.restrict_tcp({allowed!r}[1]))
for address in ({allowed!r}, {other!r}):
    tried = f"import socket; print(socket.socket().connect_ex({{address!r}}))"
    subprocess.run([sys.executable, "-c", tried], check=True)
"""


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    """The embedded cache on a Hub, and a record of all that is said to it."""
    folder = paths.packaged("adapters")
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files_of(folder)}
    server = HubServer(REPO, {COMMIT: contents}, head=COMMIT)
    with Recorder(("127.0.0.1", urlsplit(server.url).port or 0)) as recording:
        yield recording
    server.close()


def python(code: str) -> list[str]:
    """The lines that a Python of its own prints; modules of the tests can be imported."""
    code = f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_behind_the_guard_one_address_can_be_talked_to(recorder, tmp_path):
    with Recorder(recorder.address) as other:
        guard = guarded(recorder.address, tmp_path / "tried")
        said = python(TRY.format(guard=guard, allowed=recorder.address, other=other.address))
        assert not other.said
    assert said == ["ConnectionRefusedError"] * 5 + ["done"]
    events = [json.loads(line).split(":")[0] for line in attempts(tmp_path / "tried")]
    assert events == ["socket.connect", "socket.connect", "socket.sendto", "socket.getaddrinfo", "subprocess.Popen"]
    assert b"hello" in recorder.said


def test_the_kernel_keeps_other_programs_behind_the_guard_too(recorder):
    with Recorder(recorder.address) as other:
        able, allowed, refused = python(CHILD.format(allowed=recorder.address, other=other.address))
    if able == "False":
        pytest.skip("this kernel has no Landlock for TCP")
    assert (allowed, refused) == ("0", "13")  # EACCES


# -- the flow


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """The user's messages, in a folder and file whose names are theirs, too."""
    path = tmp_path / "quillabrax" / "zyxomandrel.jsonl"
    path.parent.mkdir()
    lines = [json.dumps({"prompt": prompt, "response": response}) for prompt, response in MESSAGES.items()]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture
def talk(recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a command needs to take the recorded server for the Hub, and to reach nothing else."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", recorder.url)
    monkeypatch.setenv("XPERT_HOME", str(tmp_path / "home"))
    return {"fault": guarded(recorder.address, tmp_path / "tried")}


@pytest.mark.model
@pytest.mark.slow
def test_no_command_sends_any_of_the_text(recorder, talk, notes, tmp_path, base):
    for package in EXTRAS:
        pytest.importorskip(package)
    run = tmp_path / "plonkivar"
    adapter = ("--adapter", ID, "--max-tokens", "48")
    question, remark = "What did the zyxomandrel say to Quillabrax?", "Tell me of the thessaquine road to the coast."
    flow = {
        "summarize": (str(notes),),
        "select": (str(notes),),
        "finetune": (str(notes), "--steps", "2", "--max-tokens", "48", "--held-out", "0.25", "--out", str(run)),
        "run": (question, "--system", "You are the brimwoggle.", *adapter),
        "chat": adapter,
        "eval": (str(notes), *adapter, "--merged", str(run / "merged.gguf")),
    }
    talk["fault"] += FEW_ANSWERS
    for command, arguments in flow.items():
        connections = len(recorder.said)
        done = xpert(command, *arguments, "--cache", REPO, "--json", stdin=f"{remark}\n", **talk)
        assert done.returncode == 0, (command, done.stderr)
        assert json.loads(done.stdout)
        assert len(recorder.said) > connections, f"{command} did not ask the Hub: the test shows nothing of it"
    assert attempts(tmp_path / "tried") == []
    assert_only_files_were_asked_for(recorder)
    written = corpus.read([str(notes)])
    own = [*MESSAGES, *MESSAGES.values(), question, remark, notes.read_text("utf-8"), str(notes)]
    said = b"\n".join(recorder.said)
    assert shown(own, said) == []
    assert not [key for key in (written.digest, *(one.key() for one in written.messages)) if key[:12].encode() in said]


def assert_only_files_were_asked_for(recorder: Recorder) -> None:
    """Every byte that was sent is a request without a body for one of the repo's files, with headers that are known."""
    requests = []
    for said in recorder.said:
        found = list(REQUEST.finditer(said))
        assert b"".join(one[0] for one in found) == said
        requests += found
    targets = {one["target"].decode() for one in requests}
    assert {t for t in targets if not re.fullmatch(rf"/{REPO}/resolve/(main|{COMMIT})/[\w./-]+", t)} == set()
    assert f"/{REPO}/resolve/{COMMIT}/adapters/{ID}.gguf" in targets
    names = {line.split(b":")[0].decode().lower() for one in requests for line in one["headers"].splitlines()}
    assert names <= HEADERS


@pytest.mark.model
@pytest.mark.slow
def test_with_the_embedded_cache_nothing_is_sent_at_all(recorder, talk, notes, tmp_path, base):
    for command in (("select", str(notes), "--measured-only"), ("run", "Hello!", "--adapter", ID, "--max-tokens", "4")):
        assert xpert(*command, "--json", **talk).returncode == 0
    assert (recorder.said, attempts(tmp_path / "tried")) == ([], [])


@pytest.mark.model
@pytest.mark.slow
def test_a_leak_would_be_found(recorder, talk, notes, tmp_path, base):
    command = ("select", str(notes), "--measured-only", "--cache", REPO, "--json")
    told = "urllib.parse.quote(found.texts[0][:40])"
    done = xpert(*command, fault=talk["fault"] + LEAK.format(url=recorder.url, told=told))
    assert "zyxomandrel" in shown([*MESSAGES.values()], b"\n".join(recorder.said))
    done = xpert(*command, fault=talk["fault"] + LEAK.format(url="http://127.0.0.1:9", told='""'))
    assert done.returncode == 1
    assert "socket.connect" in attempts(tmp_path / "tried")[0]
