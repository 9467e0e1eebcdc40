"""GET /docs: Swagger UI over /openapi.json, from an installed package.

Rules:

1.  Nothing is loaded from anywhere else: the page's policy lets browsers ask this origin only.
2.  The files served are a fixed table, read at the start; a path is a name in it or 404.
3.  Where operations have a bind of their own, the page shows and does not call: the API is another origin.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import ClassVar

from swagger_ui_bundle import swagger_ui_path

from web.access import Operation
from web.cached import Cached
from web.documents import document_operation
from web.errors import not_found
from web.view import Answer, ApiView, Call

_HTML = "text/html; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
_STYLE = "text/css; charset=utf-8"
_ICON = "image/png"

#: The package's files that the page loads.
_FILES: Mapping[str, str] = {
    "swagger-ui-bundle.js": _SCRIPT,
    "swagger-ui.css": _STYLE,
    "favicon-32x32.png": _ICON,
}
_START = "start.js"

#: A browser's copy of a file, in seconds. The page itself is asked for every time.
FILE_MAX_AGE_S = 86_400

#: Swagger UI sets styles of elements, and has icons as `data:`; scripts are files, and of this origin.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Offertide API</title>
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_STARTING = """\
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  queryConfigEnabled: false,
  supportedSubmitMethods: %s,
});
"""
_METHODS = '["get", "post", "put", "patch", "delete"]'


class DocsView(ApiView):
    """The page."""

    view_name = "docs"
    view_path = "/docs"
    operational = True
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": document_operation("This document as a page to read and try, by Swagger UI.", str, _HTML)
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        self._page = Cached(_PAGE.encode(), _HTML, policy=POLICY)

    async def get(self, call: Call) -> Answer:
        return self._page.answer(call)


class DocsAssetView(ApiView):
    """What the page loads."""

    view_name = "docs-asset"
    view_path = "/docs/{asset:[^/]+}"
    operational = True
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": document_operation("A file of the page.", str, _SCRIPT, _STYLE, _ICON, errors=(404,))
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        calls = self.engine.settings.ops_port is None
        self._files = {**_package_files(), _START: _starting(_METHODS if calls else "[]")}

    async def get(self, call: Call) -> Answer:
        found = self._files.get(call.path["asset"])
        if found is None:
            raise not_found("There is nothing at this path.")
        return found.answer(call)


def _starting(methods: str) -> Cached:
    return Cached((_STARTING % methods).encode(), _SCRIPT)


@functools.cache
def _package_files() -> Mapping[str, Cached]:
    return {
        name: Cached((swagger_ui_path / name).read_bytes(), kind, FILE_MAX_AGE_S)
        for name, kind in _FILES.items()
    }
