"""Build the ASGI app: the API, the page, the documentation and the checks of each request."""

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from cir.app.api import add_api
from cir.app.page.page import page_router
from cir.app.page.page_html import MADE, STATIC, STATIC_DIGEST
from cir.app.service import NO_TAGGER, SearchService
from cir.app.settings import Settings
from cir.app.web.addresses import BasePath, Heads
from cir.app.web.bodies import BodyLimits
from cir.app.web.docs import ASSETS, docs_router
from cir.app.web.errors import Failures, add_error_handlers
from cir.app.web.lasting import Compressed, LastingFiles
from cir.app.web.readiness import Readiness
from cir.app.web.security import Doors

__all__ = ["Settings", "create_app"]

TITLE = "Compositional image search"
_ABOUT = "Find an image by words, by an image, or by an image and a change."


def create_app(
    service: SearchService,
    settings: Settings | None = None,
    readiness: Readiness | None = None,
    libraries: Sequence[tuple[str, str]] = (),
) -> FastAPI:
    """Build the app for a service.

    Args:
        service: answers the requests; the caller closes it.
        settings: limits of bodies, the token and the host names; by default those of the service.
            The limits of images are always those of the service.
        readiness: answers `/readyz`; by default it checks no files and no server.
        libraries: the names and the relative addresses of all that are served, this one at "./".
    """
    settings = settings or service.settings
    readiness = readiness or Readiness(service.model, service.store)
    app = FastAPIOffline(
        docs_url=None,
        redoc_url=None,
        static_url=ASSETS,
        title=TITLE,
        description=_ABOUT if service.model.has_tagger else f"{_ABOUT} Note that {NO_TAGGER}.",
        servers=[{"url": settings.base_path}] if settings.base_path else None,
    )
    add_error_handlers(app)
    add_api(app, service, readiness, settings.base_path)
    app.include_router(docs_router(TITLE))
    app.include_router(page_router(service, libraries))
    app.mount("/static", LastingFiles(STATIC, STATIC_DIGEST, MADE), name="static")
    # The middleware that is added last sees a request first.
    app.add_middleware(Compressed)
    app.add_middleware(Heads)
    app.add_middleware(Failures)
    app.add_middleware(Doors, settings=settings)
    app.add_middleware(BodyLimits, settings=settings)
    app.add_middleware(service.telemetry.middleware)
    if settings.base_path:
        app.add_middleware(BasePath, base_path=settings.base_path)
    return app
