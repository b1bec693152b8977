"""Serve the interactive pages of the API without other hosts and without inline code."""

from html import escape

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

ASSETS = "/static-offline-docs"  # where fastapi_offline mounts its files; links are relative
_START = """\
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
  layout: "BaseLayout",
});
"""
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="{assets}/favicon.png">
<link rel="stylesheet" href="{assets}/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{assets}/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""


def docs_router(title: str) -> APIRouter:
    """Return the routes of GET /docs and of the script that starts it."""
    router = APIRouter(include_in_schema=False)
    page = _PAGE.format(title=escape(title), assets=ASSETS.removeprefix("/"))

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(page)

    @router.get("/docs/start.js")
    async def start() -> Response:
        return Response(_START, media_type="text/javascript")

    return router
