"""A simulated Android: what its Python and its system lack is taken from this one.

    PYTHONPATH=tests python -m pytest -p android_simulation -m "not slow and not model and not network"

sys.platform and ANDROID_ROOT say Android; os.link is gone and os.symlink fails, as on shared storage; /sys is closed;
there is no /etc/resolv.conf, and names cannot be looked up; packages without a build for Android are hidden. It holds
for Python in this process until that ends. Not simulated: bionic, aarch64, memory, threads, and processes that tests
start, which see ANDROID_ROOT only.
"""

from __future__ import annotations

import os
import socket
import sys
import sysconfig
from importlib.machinery import PathFinder
from typing import Any

PACKAGES = {
    "accelerate": "accelerate",
    "detect-secrets": "detect_secrets",
    "hf-xet": "hf_xet",
    "olah": "olah",
    "peft": "peft",
    "phonenumbers": "phonenumbers",
    "python-stdnum": "stdnum",
    "ray": "ray",
    "resvg-py": "resvg_py",
    "safetensors": "safetensors",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "sentence-transformers": "sentence_transformers",
    "sentencepiece": "sentencepiece",
    "tokenizers": "tokenizers",
    "torch": "torch",
    "transformers": "transformers",
}  # name of what is installed -> name of what is imported
NUMERIC = {"0.0.0.0", "127.0.0.1", "::1", "localhost", "", None}


class _Without:
    """Python's finder of modules and of what is installed, blind for the hidden packages."""

    def __init__(self, finder: Any) -> None:
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)

    def find_spec(self, name: str, *rest: Any) -> Any:
        """As importlib asks; None is for what is not there."""
        return None if name.split(".")[0] in PACKAGES.values() else self._finder.find_spec(name, *rest)

    def find_distributions(self, *context: Any) -> Any:
        """As importlib.metadata asks."""
        found = self._finder.find_distributions(*context)
        return [one for one in found if str(one.metadata["Name"]).lower().replace("_", "-") not in PACKAGES]


def install() -> None:
    """Make this process believe that it runs on Android."""
    sysconfig.get_config_vars()  # it is asked for by name of the platform, and there is none for Android here
    os.environ["ANDROID_ROOT"] = "/system"
    sys.platform = "android"
    sys.meta_path[sys.meta_path.index(PathFinder)] = _Without(PathFinder)  # type: ignore[call-overload]
    del os.link
    os.symlink = _refused
    sys.addaudithook(_closed)


def _refused(source: object, target: object, *_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted", source, None, target)


def _closed(event: str, arguments: tuple[Any, ...]) -> None:
    """Python tells here what it is about to open or look up; an exception stops it."""
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str):
        if f"{arguments[0]}/".startswith("/sys/"):
            raise PermissionError(13, "Permission denied", arguments[0])
        if arguments[0] == "/etc/resolv.conf":
            raise FileNotFoundError(2, "No such file or directory", arguments[0])
    if event == "socket.getaddrinfo" and arguments[0] not in NUMERIC:
        raise socket.gaierror(socket.EAI_NONAME, "No address associated with hostname")


def pytest_configure() -> None:
    """As a plugin, before any test is collected."""
    install()
