"""A program that runs beside this process and never outlives it."""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

TAIL_LINES = 20
_TAIL_BYTES = 16_384
_KILL_S = 10.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

# Below what systems give to outgoing connections (Linux: 32768 and up). Inside that range a client that
# reconnects to a stopped server can be given the server's own port, connect to itself and keep it.
_PORTS = range(20_000, 32_000)
_PORT_TRIES = 200

# Runs between fork and exec of the real program, in an interpreter of its own: the same in a preexec_fn
# could deadlock, since it would run Python in a fork of a process with threads.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
parent, argv = int(sys.argv[1]), sys.argv[2:]
if sys.platform == "linux" and ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
    sys.exit("cannot tie the program to its parent")
if os.getppid() != parent:
    sys.exit("the parent ended first")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
try:
    os.execv(argv[0], argv)
except OSError as error:
    sys.exit(f"cannot run {argv[0]}: {error.strerror}")
"""


class Child:
    """One running program: its output, its end, and the ways to bring that about.

    It ends with this process: through atexit, and on Linux also when this process is killed with -9
    (elsewhere a kill -9 leaves it running).
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: Path | None,
        env: Mapping[str, str] | None = None,
        on_end: Callable[[int], None] | None = None,
    ) -> None:
        """Start ``argv`` (first the program's full path), standard output and errors appended to ``log``.

        Without a ``log`` it writes where this process writes. ``env`` replaces the environment. ``on_end``
        is called with the exit code when the program has ended, in a thread of its own. Raises OSError when
        no process can be started at all; a program that cannot be run shows as an early exit with the
        reason in its output.
        """
        self._log = log
        self._on_end = on_end
        self._owner = os.getpid()
        self._exited = threading.Event()
        handed: Future[subprocess.Popen[bytes]] = Future()
        # Linux sends the death signal when the *thread* that forked ends, so the fork belongs to a thread
        # that stays until the child has ended; a caller may come from any short-lived thread.
        threading.Thread(
            target=self._keep, args=(list(argv), env, handed), name=f"child {argv[0]}", daemon=True
        ).start()
        self._process = handed.result()
        atexit.register(self.kill)

    @property
    def pid(self) -> int:
        """The program's process id, also after it has ended."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.returncode if self._exited.is_set() else None

    def terminate(self, grace_s: float) -> None:
        """Ask the program to end and wait for it; kill it after ``grace_s`` seconds.

        Raises TimeoutError when not even that ends it; so does ``kill``.
        """
        self.send_signal(signal.SIGTERM)
        if not self._exited.wait(grace_s):
            self.send_signal(signal.SIGKILL)
        self._end()

    def kill(self) -> None:
        """End the program at once (SIGKILL) and wait until it is gone."""
        if os.getpid() != self._owner:
            return  # a fork of the owner runs the same atexit handlers, but owns no child
        self.send_signal(signal.SIGKILL)
        self._end()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal and go on; nothing happens when the program has ended."""
        if not self._exited.is_set():
            self._process.send_signal(number)

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last ``lines`` of the log, without colours; empty without a log."""
        if self._log is None:
            return ""
        with self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
        return "\n".join(_COLOURS.sub("", text).splitlines()[-lines:])

    def _keep(
        self, argv: list[str], env: Mapping[str, str] | None, handed: Future[subprocess.Popen[bytes]]
    ) -> None:
        wrapper = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(self._owner), *argv]
        try:
            with contextlib.nullcontext() if self._log is None else self._log.open("ab") as log:
                process = subprocess.Popen(
                    wrapper,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=env,
                    # A terminal sends Ctrl-C to everything in its session: in one of its own the program
                    # ends when its parent says so, in the parent's order.
                    start_new_session=True,
                )
        except (OSError, ValueError, RuntimeError) as error:
            handed.set_exception(error)  # raised where the caller waits
            return
        handed.set_result(process)
        process.wait()
        self._exited.set()
        if self._on_end is not None:
            self._on_end(process.returncode)

    def _end(self) -> None:
        if not self._exited.wait(_KILL_S):
            raise TimeoutError(f"process {self.pid} has not ended {_KILL_S} s after a kill")
        atexit.unregister(self.kill)


def free_ports(count: int) -> list[int]:
    """``count`` different loopback ports that nothing listens on now.

    Another program can take one before it is used: try again with new ones when a bind fails. Raises
    OSError when so many ports cannot be found.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, _PORT_TRIES):
        if _can_bind(port):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop - 1} on 127.0.0.1")


def _can_bind(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False  # in use: the caller tries another one
    return True
