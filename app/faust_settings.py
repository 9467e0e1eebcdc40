"""Faust's settings: those that Offertide's decide, and the defaults that do harm turned off."""

from __future__ import annotations

from typing import Any

from config.settings import Settings


def faust_settings(settings: Settings) -> dict[str, Any]:
    """Faust's settings: those that Offertide's decide, and the defaults that do harm turned off."""
    session_s = settings.session_timeout_ms / 1000
    return {
        "broker": ";".join(f"kafka://{server}" for server in settings.bootstrap_servers),
        "datadir": settings.data_dir / settings.app_id,
        "autodiscover": False,
        "topic_partitions": settings.partitions,
        "topic_replication_factor": settings.replicas,
        "topic_disable_leader": True,
        "broker_session_timeout": session_s,
        "broker_heartbeat_interval": settings.heartbeat_interval_ms / 1000,
        "broker_rebalance_timeout": settings.rebalance_timeout_ms / 1000,
        "broker_request_timeout": max(90.0, session_s + 10),
        "broker_commit_interval": 1.0,
        "broker_max_poll_interval": 600.0,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": 4 * 1024 * 1024,
        # Chunks of up to a megabyte, for each topic.
        "stream_buffer_maxsize": 16,
        "stream_recovery_delay": 0.0,
        "table_standby_replicas": settings.standby_replicas,
        "web_enabled": True,
        "web_bind": settings.web_host,
        "web_port": settings.web_port,
        "canonical_url": settings.worker_url,
        "web_tables_enabled": False,
        "web_metrics_enabled": False,
    }
