"""The whole app: API, page and pages of the API, behind its doors."""

from pathlib import Path

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.staticfiles import StaticFiles

from cir.app.api import add_api
from cir.app.page.page import page_router
from cir.app.service import SearchService
from cir.app.settings import Settings
from cir.app.web.bodies import BodyLimits
from cir.app.web.docs import ASSETS, docs_router
from cir.app.web.errors import Failures, add_error_handlers
from cir.app.web.readiness import Readiness
from cir.app.web.security import Doors

__all__ = ["Settings", "create_app"]

TITLE = "Compositional image search"
_STATIC = Path(__file__).parent / "page" / "static"


def create_app(
    service: SearchService, settings: Settings | None = None, readiness: Readiness | None = None
) -> FastAPI:
    """The app around a service.

    Args:
        service: what answers; the caller closes it.
        settings: of bodies and doors; by default the service's own, whose limits of images hold
            in any case.
        readiness: what `/readyz` asks; by default it knows of no files and no other process.
    """
    settings = settings or service.settings
    readiness = readiness or Readiness(service.model, service.store)
    app = FastAPIOffline(
        docs_url=None,
        redoc_url=None,
        static_url=ASSETS,
        title=TITLE,
        description="Find an image by words, by an image, or by an image and a change.",
    )
    add_error_handlers(app)
    add_api(app, service, readiness)
    app.include_router(docs_router(TITLE))
    app.include_router(page_router(service))
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    # The last one added stands outermost.
    app.add_middleware(Failures)
    app.add_middleware(Doors, settings=settings)
    app.add_middleware(BodyLimits, settings=settings)
    app.add_middleware(service.telemetry.middleware)
    return app
