"""The service of `fastapi_service.py` in short, for aiohttp.web.

    pip install 'ochy-async[video]'
    export OCHY_API_KEY=… OCHY_WEBHOOK_TOKEN=…
    python aiohttp_service.py

    curl -F video=@runner.mp4 -F view=side -F height=1.75 -F weight=68 http://127.0.0.1:8080/analyses
    curl http://127.0.0.1:8080/analyses/<id>

`jobs.py`, beside this file, keeps the jobs. `fastapi_service.py` says more about the settings.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator
from dataclasses import asdict
from pathlib import Path

from aiohttp import web
from jobs import MAX_UPLOAD_BYTES, Jobs, TooManyJobs

from ochy_async import OchySession, Webhooks

HOOKS = web.AppKey("HOOKS", Webhooks)
JOBS = web.AppKey("JOBS", Jobs)
routes = web.RouteTableDef()


async def analyzing(app: web.Application) -> AsyncGenerator[None]:
    """Runs the jobs as long as the application runs."""
    jobs = app[JOBS]
    async with OchySession(webhooks=app[HOOKS], on_event=jobs.on_event) as ochy, jobs.running(ochy):
        yield


@routes.post("/analyses")
async def submit(request: web.Request) -> web.Response:
    """Stores the upload and returns its job."""
    form = await request.post()  # spooled to disk, and bounded by `client_max_size`
    video, text = form.get("video"), {name: value for name, value in form.items() if isinstance(value, str)}
    if not isinstance(video, web.FileField):
        raise web.HTTPUnprocessableEntity(text="video: a file is missing")
    try:
        job_id = await request.app[JOBS].submit(
            video.file,
            video.filename,
            text.get("view", "side"),
            height=float(text["height"]),
            weight=float(text["weight"]),
            pace=text.get("pace"),
            treadmill=text.get("treadmill") == "true",
        )
    except (KeyError, ValueError) as error:  # `InvalidRequest` is a `ValueError`
        raise web.HTTPUnprocessableEntity(text=f"The form is not valid: {error}") from None
    except TooManyJobs:
        raise web.HTTPServiceUnavailable(headers={"Retry-After": "60"}) from None
    return web.json_response({"id": job_id}, status=202)


@routes.get("/analyses/{id}")
async def state(request: web.Request) -> web.Response:
    """Returns the state of a job."""
    found = await request.app[JOBS].state(request.match_info["id"])
    if found is None:
        raise web.HTTPNotFound
    return web.json_response({"id": request.match_info["id"], **asdict(found)})


def main() -> None:
    """Serves until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO)
    app = web.Application(client_max_size=MAX_UPLOAD_BYTES)
    app[HOOKS] = Webhooks()  # reads OCHY_WEBHOOK_TOKEN, and keeps it out of the access log
    app[JOBS] = Jobs(Path(os.environ.get("JOBS_FOLDER", "jobs")))
    app.cleanup_ctx.append(analyzing)
    app.add_routes(routes)
    app.router.add_route("*", "/hooks/ochy/{token}", app[HOOKS].aiohttp)
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))


if __name__ == "__main__":
    main()
