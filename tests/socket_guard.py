"""What a process may connect to, enforced, and all that it says there, recorded.

    with Recorder(server) as recorder:                    # passes on to (host, port) `server`, byte for byte
        guard = guarded(recorder.address, tried)          # statements for `fault=` of command.py
        xpert("select", "notes.txt", fault=guard, HF_ENDPOINT=recorder.url)
    assert not attempts(tried)                            # nothing else was connected to, looked up or started
    recorder.said                                         # all bytes that were sent, one item a connection

Python's own audit events refuse and record: connections, datagrams and look-ups of names other than the one address,
and any new process, through which something could go out unseen, but the one that a stranger's adapter is tried in.
Where the Linux kernel has Landlock for TCP (6.7 and later), it refuses connections of compiled code, too, and of
processes. Not covered: datagrams of compiled code.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import socketserver
import struct
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

Address = tuple[str, int]

_TO_ADDRESS = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1}  # event -> which argument is the address
_TO_NAME = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}
_PROCESS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn"}
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # Landlock's system calls, of every architecture
_BIND_TCP, _CONNECT_TCP, _PORT_RULE, _NO_NEW_PRIVILEGES = 1, 2, 2, 38


def guarded(allowed: Address, tried: Path) -> str:
    """Statements that leave a process nothing but `allowed` to talk to; what else it tries is noted in `tried`."""
    here = str(Path(__file__).parent)
    return f"sys.path.append({here!r})\nimport socket_guard\nsocket_guard.install({allowed!r}, {str(tried)!r})\n"


def attempts(tried: Path) -> list[str]:
    """What a guarded process tried and was refused, as "event: arguments"."""
    return tried.read_text("utf-8").splitlines() if tried.exists() else []


def install(allowed: Address, tried: str) -> None:
    """Guard this process until it ends."""
    restrict_tcp(allowed[1])

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if not _is_forbidden(event, arguments, allowed):
            return
        with open(tried, "a", encoding="utf-8") as file:  # noqa: PTH123 - the hook runs while pathlib is imported, too
            file.write(json.dumps(f"{event}: {arguments[1:] if event in _TO_ADDRESS else arguments}") + "\n")
        raise ConnectionRefusedError(f"{event} is refused: only {allowed} may be talked to")

    sys.addaudithook(refuse)


def _is_forbidden(event: str, arguments: tuple[Any, ...], allowed: Address) -> bool:
    if event in _PROCESS:  # but the trial of an adapter, which is told two files and two numbers
        return not (event == "subprocess.Popen" and list(arguments[1])[1:3] == ["-m", "xpert_cli.llama.trial_load"])
    if event in _TO_NAME:
        return str(arguments[0]) != allowed[0] if event != "socket.getnameinfo" else True
    if event not in _TO_ADDRESS:
        return False
    address = arguments[_TO_ADDRESS[event]]
    return address is not None and tuple(address[:2]) != allowed  # None: a message to whom it is connected to already


def restrict_tcp(port: int) -> bool:
    """Let this process and those it starts connect to this TCP port only, by the kernel; False where it cannot."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1) < 4:  # the version of Landlock; TCP came with 4
        return False
    rules = struct.pack("QQ", 0, _BIND_TCP | _CONNECT_TCP)
    ruleset = libc.syscall(_CREATE, rules, ctypes.c_size_t(len(rules)), 0)
    one = struct.pack("QQ", _CONNECT_TCP, port)
    failed = (
        ruleset < 0
        or libc.syscall(_ADD, ruleset, _PORT_RULE, one, 0)
        or libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        or libc.syscall(_RESTRICT, ruleset, 0)
    )
    if ruleset >= 0:
        os.close(ruleset)
    return not failed


class Recorder:
    """A port on the loopback interface behind which a server stands, and all that was sent to it.

    Attributes:
        address: host and port to talk to.
        said: what was sent, one item a connection, in the order they were opened.
    """

    def __init__(self, server: Address) -> None:
        self.said: list[bytearray] = []
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer._pass_on(self.request, server)

        self._listener = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._listener.daemon_threads = True
        self.address: Address = ("127.0.0.1", self._listener.server_address[1])
        self.url = f"http://127.0.0.1:{self.address[1]}"
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown()
        self._listener.server_close()

    def _pass_on(self, client: socket.socket, server: Address) -> None:
        said = bytearray()
        self.said.append(said)
        with contextlib.suppress(OSError), socket.create_connection(server) as onward:
            answers = threading.Thread(target=_pump, args=(onward, client), daemon=True)
            answers.start()
            while data := client.recv(1 << 16):
                said += data
                onward.sendall(data)
            onward.shutdown(socket.SHUT_WR)
            answers.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on everything until the end, and then the end."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
