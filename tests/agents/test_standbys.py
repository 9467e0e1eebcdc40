"""The copies of one worker: whom they belong to while things change."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agents.standbys import Standbys
from agents.stores import Stores
from config.metrics import new_metrics
from config.settings import Settings


async def test_what_was_handed_over_meanwhile_is_never_opened(tmp_path: Path) -> None:
    settings = Settings(broker="127.0.0.1:1", app_id="copies", data_dir=tmp_path, partitions=4)
    stores = Stores(settings)
    stores.open(1).close()
    for number in range(200):
        (tmp_path / "copies" / "stores" / "1.db" / f"{number}.sst").write_bytes(b"x" * 100_000)
    standbys = Standbys(settings, stores, new_metrics(), lambda: 0)
    # Two copies to open, one of them worthless: its files go first, which takes a while.
    standbys._wanted, standbys._outdated = {1, 2}, {1}
    opening = asyncio.create_task(standbys._open_missing())
    await asyncio.sleep(0)
    assert standbys.hand_over(2) == (None, False)
    standbys._wanted = {1}
    await opening
    assert set(standbys.copies()) == {1}
    stores.open(2).close()
    await standbys.stop()
