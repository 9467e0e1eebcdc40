"""Faust's web server with our bounds, and operations on a bind of their own if the settings say so."""

from __future__ import annotations

import faust
from aiohttp import web
from aiohttp.web import TCPSite
from faust.web.drivers.aiohttp import Web
from faust.web.views import View

from web.engine import Engine
from web.server import Bind, BoundedRunner


class BoundedWeb(Web):
    """Serves the API's views, and the operations' beside them or on their own bind."""

    def __init__(self, app: faust.App, engine: Engine) -> None:
        super().__init__(app)
        self._settings = engine.settings
        self._runner: BoundedRunner = BoundedRunner(
            self.web_app, Bind("api", engine.settings, engine.metrics, engine.chance)
        )
        #: The operations' application and its runner, when they have a bind of their own.
        self.operations: web.Application | None = None
        if engine.settings.ops_port is not None:
            self.operations = web.Application()
            bind = Bind("ops", engine.settings, engine.metrics, engine.chance)
            self._ops_runner = BoundedRunner(self.operations, bind)

    def add_operation(self, view: type[View]) -> None:
        """Serve a view on the operations' own bind, which there must be."""
        assert self.operations is not None
        handler = self._wrap_into_asyncdef(view(self.app, self))
        self.operations.router.add_route("*", view.view_path, handler)

    @property
    def runners(self) -> tuple[BoundedRunner, ...]:
        """What runs the API and, on a bind of their own, the operations."""
        return (self._runner,) if self.operations is None else (self._runner, self._ops_runner)

    async def start_server(self) -> None:
        """Listen. Whoever looks after the worker is let in first."""
        if self.operations is not None:
            await self._ops_runner.setup()
            await TCPSite(self._ops_runner, *self._settings.binds[-1]).start()
        await super().start_server()

    async def stop_server(self) -> None:
        """Stop listening, the operations last: they say until the end how the worker is."""
        await super().stop_server()
        if self.operations is not None:
            await self._ops_runner.cleanup()
