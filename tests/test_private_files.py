"""Files that hold a person's text, or were trained on it, are their owner's alone from their first byte on.

The umask is 0 here, so that whoever forgets a file's mode makes it readable for all. What lies on the disk is looked at
after every call into the system that Python reports, which is what another user's loop would see.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert_cli import paths, resume
from xpert_cli.cache import signing
from xpert_cli.errors import CannotWrite
from xpert_cli.training.checkpoints import Checkpoints, State


class Watch:
    """Looks at every file and folder below a folder whenever Python opens, renames or makes one; `seen` is open."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seen: set[str] = set()
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: Any) -> None:
        if self.folder is None or event not in (
            "open",
            "os.rename",
            "os.mkdir",
            "os.remove",
            "os.chmod",
            "marshal.loads",
        ):
            return
        folder, self.folder = self.folder, None  # looking makes events too
        for path in [folder, *folder.rglob("*")]:
            if path.stat().st_mode & 0o077 and not path.name.endswith(".lock"):
                self.seen.add(path.name)
        self.folder = folder


WATCH = Watch()


@pytest.fixture
def watched(home: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder that is looked at all the time, under a umask that hides nothing."""
    mask = os.umask(0)
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    WATCH.seen.clear()
    WATCH.folder = folder
    yield folder
    WATCH.folder = None
    os.umask(mask)


def modes(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in folder.rglob("*")}


def seen() -> set[str]:
    with Path(os.devnull).open():  # the last look
        return set(WATCH.seen)


def test_what_others_could_read_would_be_seen(watched):
    (watched / "a").write_text("x")
    assert seen() == {"a"}


def test_a_file_written_whole_is_private_at_every_moment(watched):
    with paths.whole(watched / "new" / "deep" / "a.txt") as part:
        part.write_text("words")
        assert part.stat().st_mode & 0o777 == 0o600
    assert modes(watched) == {"new": 0o700, "new/deep": 0o700, "new/deep/a.txt": 0o600}
    assert seen() == set()


def test_an_earlier_file_of_any_mode_becomes_private(watched):
    (watched / "a.txt").touch(0o644)
    with paths.whole(watched / "a.txt") as part:
        part.write_text("words")
    assert modes(watched) == {"a.txt": 0o600}


def test_a_large_file_in_pieces_is_private_while_it_is_written(watched, monkeypatch):
    monkeypatch.setattr(resume, "EVERY", 0.0)
    monkeypatch.setenv("XPERT_HOME", str(watched / "home"))
    during: list[dict[str, int]] = []

    def piece() -> bytes:
        during.append(modes(watched))
        return b"1234"

    resume.write_pieces(watched / "m.gguf", [resume.Piece(4, piece)] * 3, ["made of"])
    assert {mode for look in during for name, mode in look.items() if not name.endswith(".lock")} <= {0o600, 0o700}
    assert seen() == set()
    assert modes(watched)["m.gguf"] == 0o600


def test_what_was_left_half_written_and_open_is_closed_before_more_is_written(watched):
    resume_name = resume.PartialResults("file", str((watched / "m").absolute()), [0, 4], "it").name[:12]
    left = watched / f".m.{resume_name}.part"
    left.write_bytes(b"12")
    left.chmod(0o644)
    WATCH.seen.clear()

    def piece() -> bytes:
        assert left.stat().st_mode & 0o777 == 0o600
        return b"1234"

    resume.write_pieces(watched / "m", [resume.Piece(4, piece)], "it")


def test_a_signing_key_is_never_readable_by_others(watched):
    for number in range(5):
        signing.make_key(watched / "keys" / f"{number}.key")
    assert set(modes(watched).values()) == {0o600, 0o700}
    assert seen() == set()


def test_checkpoints_and_kept_results_are_private(watched, monkeypatch):
    monkeypatch.setenv("XPERT_HOME", str(watched / "home"))
    monkeypatch.setattr(resume, "EVERY", 0.0)
    numbers = np.zeros(3, np.float32)
    Checkpoints(watched / "run" / "checkpoints", {}).write(State(numbers, numbers, numbers, numbers, step=10))
    resume.PartialResults("x").keep(1, numbers)
    assert set(modes(watched).values()) == {0o600, 0o700}
    assert seen() == set()


def test_kept_messages_are_never_readable_by_others(watched):
    from xpert_cli.corpus import Corpus, Message
    from xpert_cli.training.package import write_messages

    corpus = Corpus((Message("How is zyxomandrel?", "Quillabrax is fine.", "a.jsonl"),))
    write_messages(watched / "messages.jsonl", corpus.messages)
    assert modes(watched) == {"messages.jsonl": 0o600}
    assert seen() == set()


def test_what_a_kill_leaves_is_private(tmp_path):
    code = f"""
import os
os.umask(0)
from pathlib import Path
from xpert_cli import paths
with paths.whole(Path({str(tmp_path)!r}) / "run" / "messages.jsonl") as part:
    part.write_text("words")
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "run").iterdir()] == [0o600]
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


def test_folders_that_an_earlier_version_left_open_are_closed(home, monkeypatch, tmp_path):
    monkeypatch.setenv("XPERT_HOME", str(tmp_path))
    tmp_path.chmod(0o755)  # the user's own choice
    (tmp_path / "runs" / "one").mkdir(parents=True)
    for folder in (tmp_path / "runs", tmp_path / "runs" / "one"):
        folder.chmod(0o755)
    paths.writable(tmp_path / "runs" / "one")
    assert modes(tmp_path) == {"runs": 0o700, "runs/one": 0o700}
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_what_is_made_to_be_shown_has_ordinary_permissions(watched):
    with paths.whole(watched / "me.svg") as part:
        part.write_text("<svg/>")
    os.umask(0o022)
    paths.share(watched / "me.svg")
    assert modes(watched) == {"me.svg": 0o644}
    assert os.umask(0) == 0o022  # as it was


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="Not a directory"):
        paths.writable(tmp_path / "file")
    with pytest.raises(CannotWrite, match="Not a directory"):
        paths.writable(tmp_path / "file" / "below")
