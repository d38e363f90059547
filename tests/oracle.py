"""llama.cpp's own converters, to compare ours with: the fixture `llama_cpp_source`.

They come with llama-cpp-python's source distribution, which pip downloads once into XPERT_TEST_CACHE
(~/.cache/xpert-tests by default).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

VERSION = "0.3.36"


@pytest.fixture(scope="session")
def llama_cpp_source() -> Path:
    """The folder of llama.cpp's sources, with convert_hf_to_gguf.py and convert_lora_to_gguf.py in it."""
    cache = Path(os.environ.get("XPERT_TEST_CACHE") or Path.home() / ".cache" / "xpert-tests")
    name = f"llama_cpp_python-{VERSION}"
    source = cache / name / "vendor" / "llama.cpp"
    if not (source / "convert_hf_to_gguf.py").is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            archive = _download(Path(scratch))
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            (Path(scratch) / name).rename(cache / name)
    return source


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", "llama-cpp-python", "--dest", str(folder), f"llama-cpp-python=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tar.gz"))
    if not archives:
        if any(word in done.stderr for word in ("Connection", "resolve", "Network", "timed out", "No matching")):
            pytest.skip(f"llama-cpp-python {VERSION}'s sources cannot be downloaded: no network")
        raise RuntimeError(done.stderr)
    return archives[0]


def run_converter(source: Path, program: str, *arguments: str, pre: str | None = None) -> None:
    """Run one of llama.cpp's converters; `pre` answers its check of the pre-tokenizer, which knows no tiny ones."""
    run_converters(source, program, [(arguments, pre)])


def run_converters(source: Path, program: str, runs: Sequence[tuple[Sequence[str], str | None]]) -> None:
    """Run one of llama.cpp's converters several times in one process, each time with (arguments, pre)."""
    code = f"""
import runpy, sys
sys.path.insert(0, {str(source)!r})
import conversion.base
check = conversion.base.TextModel.get_vocab_base_pre
for arguments, pre in {[(list(arguments), pre) for arguments, pre in runs]!r}:
    conversion.base.TextModel.get_vocab_base_pre = (lambda self, tokenizer: pre) if pre else check
    sys.argv = [{program!r}, *arguments]
    runpy.run_path({str(source / program)!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
