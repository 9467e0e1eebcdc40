"""The demo's ends: Ctrl-C in a terminal at any moment, SIGTERM, children that die, readers that leave."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.processes import wait_gone

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

COMMAND = [sys.executable, "-m", "app.cli", "demo"]
#: Aimed at 3 s; the rest is for a machine with other work.
STOP_S = 6.0


class Terminal:
    """A demo in a terminal of its own: what it printed, its children, its Ctrl-C."""

    def __init__(self, *options: str) -> None:
        master, slave = pty.openpty()
        os.set_blocking(master, False)
        self._master = master
        self.output = ""
        self.process = subprocess.Popen(
            [*COMMAND, *options],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # The session's first terminal to be opened becomes the one whose keys are signals.
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
            env={name: value for name, value in os.environ.items() if not name.startswith("OFFERTIDE_")},
        )
        os.close(slave)

    def press_ctrl_c(self) -> None:
        os.write(self._master, b"\x03")

    def wait_for(self, text: str, timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in self.output:
            assert time.monotonic() < deadline, self.output
            assert self.process.poll() is None, self.output
            self.read()
            time.sleep(0.02)

    def read(self) -> None:
        try:
            while data := os.read(self._master, 65_536):
                self.output += data.decode(errors="replace")
        except OSError:
            return  # nothing now, or the other side is closed

    def wait_end(self, timeout_s: float = STOP_S) -> int:
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"still runs: {self.output}"
            self.read()
            time.sleep(0.02)
        self.read()
        return self.process.returncode

    def children(self) -> dict[str, int]:
        """Process ids by what they are: broker, worker."""
        found = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                line = (stat.parent / "cmdline").read_text()
            except (OSError, ValueError):
                continue  # ended meanwhile
            if parent == self.process.pid:
                found["worker" if "app.cli" in line else "broker"] = int(stat.parent.name)
        return found

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


MOMENTS = ["Starting a broker", "Creating topics", "Starting a worker", "Sending", "is open at"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_ends_all_of_it_in_order(moment: str, terminals: list[Terminal]) -> None:
    demo = Terminal()
    terminals.append(demo)
    demo.wait_for(moment)
    children = demo.children()
    demo.press_ctrl_c()
    assert demo.wait_end() == 0, demo.output
    assert demo.output.rstrip().endswith("Stopped.")
    assert "Traceback" not in demo.output
    assert all(wait_gone(pid) for pid in children.values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_is_an_end_before_the_story_is_told(
    number: signal.Signals, terminals: list[Terminal]
) -> None:
    demo = Terminal("--exit")
    terminals.append(demo)
    demo.wait_for("Sending")
    demo.process.send_signal(number)
    assert demo.wait_end() == 130
    assert demo.output.rstrip().endswith("Stopped.")
    assert "Traceback" not in demo.output


def test_a_signal_during_imports_is_a_stop_too(terminals: list[Terminal]) -> None:
    demo = Terminal()
    terminals.append(demo)
    while not _handles(demo.process.pid, signal.SIGTERM):
        assert demo.process.poll() is None
        time.sleep(0.002)
    demo.press_ctrl_c()
    assert demo.wait_end() == 0
    assert demo.output.replace("^C", "").strip() == "Stopped."


def _handles(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (number - 1) & 1)


@pytest.mark.parametrize("moment", ["Sending", "is open at"])
@pytest.mark.parametrize("which", ["worker", "broker"])
def test_a_child_that_dies_is_said_in_a_sentence(which: str, moment: str, terminals: list[Terminal]) -> None:
    demo = Terminal()
    terminals.append(demo)
    demo.wait_for(moment)
    children = demo.children()
    os.kill(children[which], signal.SIGKILL)
    assert demo.wait_end() == 1
    assert f"The demo cannot go on: the {which}" in demo.output
    assert "was ended by SIGKILL" in demo.output
    assert "Traceback" not in demo.output
    assert all(wait_gone(pid) for pid in children.values())


def test_a_port_that_is_taken_is_said_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, "--exit", "--port", str(port)], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert f"port {port} cannot be used (address already in use)" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_leaves_and_an_ascii_terminal_are_no_tracebacks() -> None:
    process = subprocess.Popen(
        [*COMMAND, "--exit"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read().decode()
    assert process.returncode == 1
    assert errors == ""
