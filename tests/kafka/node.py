"""One Kafka node: its settings, its files and its Java process."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.child import Child

_LOGGING = Path(__file__).with_name("log4j2.properties")
_FORMAT_TIMEOUT_S = 60.0
#: What makes a broker start fast and small on two cores that tests share.
_LEAN = {
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": "16777216",
}
#: Failures show soon: a dead broker in 4 s (Kafka's own: 9), a worker's session may be as short as 1 s (6).
_ALERT = {
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "1000",
    "group.min.session.timeout.ms": "1000",
}


@dataclass(frozen=True)
class Program:
    """What runs a node: the full path of Java and the folder of Kafka's jars."""

    java: str
    jars: Path


@dataclass(frozen=True)
class Door:
    """One more listener of a node: clients connect to `port`, and are told to come back to `advertised_port`.

    What listens there is the caller's: a proxy, so that a client's connections can be cut. `name` is the
    listener's, capital letters and digits.
    """

    name: str
    port: int
    advertised_port: int

    @property
    def address(self) -> str:
        """``host:port`` for the clients of this door."""
        return f"127.0.0.1:{self.advertised_port}"


@dataclass(frozen=True)
class Place:
    """Where a node lives: its id, its folder, its two loopback ports and those of its doors."""

    node: int
    folder: Path
    broker_port: int
    controller_port: int
    doors: tuple[Door, ...] = ()

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.broker_port}"

    @property
    def settings(self) -> Path:
        """The node's ``server.properties``."""
        return self.folder / "server.properties"

    @property
    def voter(self) -> str:
        """The node's entry in the controllers' quorum."""
        return f"{self.node}@127.0.0.1:{self.controller_port}"


def write_settings(place: Place, all_places: list[Place], overrides: Mapping[str, str]) -> None:
    """Make the node's folders and settings; ``overrides`` win over everything else."""
    for folder in (place.folder, place.folder / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    settings = _settings(place, all_places) | dict(overrides)
    place.settings.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def _settings(place: Place, all_places: list[Place]) -> dict[str, str]:
    replicas = str(len(all_places))
    in_sync = "2" if len(all_places) >= 3 else "1"
    return {
        "process.roles": "broker,controller",
        "node.id": str(place.node),
        "controller.quorum.voters": ",".join(other.voter for other in all_places),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{place.address},CONTROLLER://127.0.0.1:{place.controller_port}",
        "log.dirs": str(place.folder / "data"),
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        **_LEAN,
        **_ALERT,
        **_door_settings(place),
    }


def _door_settings(place: Place) -> dict[str, str]:
    if not place.doors:
        return {}
    doors = [f"{door.name}://127.0.0.1:{door.port}" for door in place.doors]
    advertised = [f"{door.name}://{door.address}" for door in place.doors]
    names = ["PLAINTEXT", "CONTROLLER", *(door.name for door in place.doors)]
    usual = [f"PLAINTEXT://{place.address}", f"CONTROLLER://127.0.0.1:{place.controller_port}"]
    return {
        "listeners": ",".join([*usual, *doors]),
        "advertised.listeners": ",".join([usual[0], *advertised]),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in names),
    }


def format_storage(place: Place, program: Program, cluster_id: str) -> str | None:
    """Prepare the node's empty data folder for ``cluster_id``; None when done, else what Kafka said."""
    options = ["format", "--cluster-id", cluster_id, "--config", str(place.settings)]
    command = [*_java(place, program), "kafka.tools.StorageTool", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False)
    return None if done.returncode == 0 else (done.stdout + done.stderr)[-2_000:]


def run_node(place: Place, program: Program) -> Child:
    """Start the node's broker and controller, one process, its log appended to ``kafka.log``."""
    return Child([*_java(place, program), "kafka.Kafka", str(place.settings)], place.folder / "kafka.log")


def _java(place: Place, program: Program) -> list[str]:
    start_fast = ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
    # A killed JVM leaves its scratch files: keep them where the cluster's folder takes them along.
    tidy = ["-XX:-UsePerfData", f"-Djava.io.tmpdir={place.folder / 'tmp'}"]
    logging = f"-Dlog4j2.configurationFile={_LOGGING}"
    return [program.java, *start_fast, *tidy, logging, "-cp", f"{program.jars}/*"]
