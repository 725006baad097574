"""Serves the page: a handful of static files, read once from the installed package."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

from worldlet.server.errors import RequestError

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
# The page loads nothing from elsewhere, and nothing in it runs that is not a file of ours.
POLICY = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' blob:; base-uri 'none'"


def static_files() -> dict[str, bytes]:
    """Return the page's files by name."""
    folder = files("worldlet.server").joinpath("static")
    return {
        entry.name: entry.read_bytes()
        for entry in folder.iterdir()
        if any(entry.name.endswith(suffix) for suffix in MEDIA_TYPES)
    }


def page_routes(beside: bool = False) -> APIRouter:
    """Return the routes of the page, its files and its icon; ``beside`` adds the page of dream and real game."""
    contents = static_files()
    router = APIRouter()

    def answer(name: str) -> Response:
        if name not in contents:
            raise RequestError("not_found", f"there is no file {name!r} here")
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
        return Response(contents[name], media_type=MEDIA_TYPES[name[name.rindex(".") :]], headers=headers)

    @router.get("/", include_in_schema=False)
    async def index() -> Response:
        return answer("index.html")

    if beside:

        @router.get("/beside", include_in_schema=False)
        async def beside_page() -> Response:
            return answer("beside.html")

    @router.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return answer("icon.svg")

    @router.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        return answer(name)

    return router
