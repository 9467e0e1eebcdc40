"""A tenant's catalogue, written to a worker's topics before the worker starts."""

from __future__ import annotations

import asyncio
import json

from app.provision import ensure_topics
from config.settings import Settings
from tables.catalogue_document import read_document
from tables.catalogue_writer import CatalogueWriter
from tests.bench.catalogues import Documents


def import_catalogue(settings: Settings, tenant: str, documents: Documents) -> None:
    """Create the topics where they are missing, and write the tenant's whole catalogue."""
    body = json.dumps({"tenant": tenant, **documents}).encode()
    asyncio.run(_write(settings, tenant, body))


async def _write(settings: Settings, tenant: str, body: bytes) -> None:
    await ensure_topics(settings)
    await CatalogueWriter(settings).import_tenant(tenant, read_document(body).entries, by="bench")
