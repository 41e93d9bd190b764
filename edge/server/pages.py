"""The pages: player, studio, dashboard, from the built `edge/web/dist`."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from edge.server.problems import Handler

DIST = Path(__file__).resolve().parent.parent / "web" / "dist"
PAGES = {"/": "index.html", "/studio": "studio.html", "/ops": "ops.html"}

NOT_BUILT = """<!doctype html><meta charset="utf-8"><title>Pages are not built</title>
<p>The pages are not built. Run <code>npm ci &amp;&amp; npm run build</code> in <code>edge/web</code>,
or start everything with <code>make run</code>. The API works without them."""

_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def routes(dist: Path = DIST) -> list[web.AbstractRouteDef]:
    """One route per page, and the files they load."""
    found: list[web.AbstractRouteDef] = [
        web.get(path, _page(dist / name)) for path, name in PAGES.items()
    ]
    if (dist / "assets").is_dir():
        found.append(web.static("/assets", dist / "assets"))
    return found


def _page(file: Path) -> Handler:
    async def show(_request: web.Request) -> web.StreamResponse:
        if not file.is_file():  # noqa: ASYNC240 - one stat of a local file
            return web.Response(status=503, text=NOT_BUILT, content_type="text/html")
        return web.FileResponse(file, headers=_HEADERS)

    return show
