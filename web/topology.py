"""GET /topology: which worker owns which partition, for clients that want to spare the hop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from web.access import ANY_AREA, Operation, Role
from web.errors import not_ready
from web.view import Answer, ApiView, Call, encode


class OwnedPartition(msgspec.Struct, rename="camel"):
    """A partition and its owner's URL; null while nobody owns it."""

    partition: int
    url: str | None


class Topology(msgspec.Struct, rename="camel"):
    """The owners, as this worker's group has shared the partitions out last.

    `key` and `partitioner` say how a customer's partition is computed: murmur2 of the key's UTF-8, as Kafka's
    Java client does it, modulo their number.
    """

    partitions: list[OwnedPartition]
    key: str = "{tenantId}:{customerId}"
    partitioner: str = "murmur2"


class TopologyView(ApiView):
    """The owners. A stale answer costs a client a hop, never exactness."""

    view_name = "topology"
    view_path = "/api/v1/topology"
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": Operation("Which worker owns which partition.", Role.VIEWER, ANY_AREA, answer=Topology)
    }

    async def get(self, call: Call) -> Answer:
        owners = self.engine.owners()
        if not owners:
            raise not_ready("The partitions are not shared out yet; retry.")
        count = self.engine.settings.partitions
        return Answer(encode(Topology([OwnedPartition(n, owners.get(n)) for n in range(count)])))
