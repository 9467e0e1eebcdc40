"""What every contender is told on its command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Assignment:
    """Where to read, whom to be, where to keep state, and when it is enough."""

    bootstrap: str
    topic: str
    group: str
    state: Path
    progress: Path
    records: int
    before: int
    partitions: int

    def command_line(self) -> list[str]:
        return [f"--{name}={getattr(self, name)}" for name in self.__dataclass_fields__]


def parse() -> Assignment:
    """This process's assignment."""
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "topic", "group"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("state", "progress"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    for name in ("records", "before", "partitions"):
        parser.add_argument(f"--{name}", required=True, type=int)
    return Assignment(**vars(parser.parse_args()))
