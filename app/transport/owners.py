"""Which worker owns which partition, as the group's leader shared them out.

Each worker joins its group with its URL; the leader's assignment tells all of them who got what. It is exact
for a generation and stale in between: a worker that has gone keeps its partitions here until the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import faust


class Owners:
    """Worker URL by partition, when called."""

    def __init__(self, app: faust.App, changelog: str) -> None:
        self._app = app
        self._changelog = changelog
        self._distribution: Any = None
        self._owners: Mapping[int, str] = {}

    def __call__(self) -> Mapping[int, str]:
        # Set as a whole, by the consumer's thread, at each assignment.
        distribution = self._app.assignor.tables_metadata()
        if distribution is not self._distribution:
            self._owners = {
                partition: str(url).rstrip("/")
                for url, topics in distribution.items()
                for partition in topics.get(self._changelog, ())
            }
            self._distribution = distribution
        return self._owners
