"""A FastAPI service that analyzes uploads: it answers at once with a job, and tells the state of each job.

    pip install 'ochy-async[video]' 'fastapi>=0.165' uvicorn python-multipart
    export OCHY_API_KEY=… OCHY_WEBHOOK_TOKEN=…
    python fastapi_service.py

    curl -F video=@runner.mp4 -F view=side -F height=1.75 -F weight=68 http://127.0.0.1:8000/analyses
    curl http://127.0.0.1:8000/analyses/<id>

`jobs.py`, beside this file, keeps the jobs, and JOBS_FOLDER says where. `ochy webhook set` makes the token and
registers the webhook's URL; without a registration the service polls, and works as well. To try it without a key, run
`ochy emulator` and set OCHY_API_KEY to emulator-key and OCHY_BASE_URL to http://127.0.0.1:8100.

Put your own authentication in front of it: whoever can upload can spend credits. With OCHY_PREFLIGHT=warnings it also
refuses clips that may spoil an analysis, such as those that are filmed the wrong way.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import FastAPI, Form, HTTPException, Request, Response, UploadFile
from jobs import MAX_UPLOAD_BYTES, Jobs, TooManyJobs

from ochy_async import InvalidRequest, OchyError, OchySession, Webhooks

hooks = Webhooks()  # reads OCHY_WEBHOOK_TOKEN, and keeps it out of the access log
jobs = Jobs(Path(os.environ.get("JOBS_FOLDER", "jobs")))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Opens the session before the first request, and closes it after the last one."""
    # `telemetry=OpenTelemetry()`, from `ochy_async.telemetry`, adds traces and metrics.
    async with OchySession(webhooks=hooks, on_event=jobs.on_event) as ochy, jobs.running(ochy):
        app.state.ochy = ochy
        yield


app = FastAPI(title="Running analyses", lifespan=lifespan)
app.mount("/hooks/ochy", hooks.asgi)


@app.post("/analyses", status_code=202, max_body_size=MAX_UPLOAD_BYTES)
async def submit(
    response: Response,
    video: UploadFile,
    view: Annotated[Literal["side", "back"], Form()],
    height: Annotated[float, Form(description="meters")],
    weight: Annotated[float, Form(description="kilograms")],
    pace: Annotated[str | None, Form(description="minutes per kilometer, such as 4:30")] = None,
    treadmill: Annotated[bool, Form()] = False,
) -> dict[str, str]:
    """Stores the upload and returns its job. The same upload is the same job, and costs one credit."""
    runner = {"height": height, "weight": weight, "pace": pace, "treadmill": treadmill}
    try:
        job_id = await jobs.submit(video.file, video.filename or "", view, **runner)
    except InvalidRequest as error:
        raise HTTPException(422, [str(problem) for problem in error.problems]) from None
    except TooManyJobs:
        raise HTTPException(503, "Too many jobs are open. Try again later.", {"Retry-After": "60"}) from None
    response.headers["Location"] = app.url_path_for("state", job_id=job_id)
    return {"id": job_id}


@app.get("/analyses/{job_id}")
async def state(job_id: str) -> dict[str, Any]:
    """Returns the state of a job. `analyzed`, `failed` and `refused` are final."""
    found = await jobs.state(job_id)
    if found is None:
        raise HTTPException(404, "There is no such job.")
    return {"id": job_id, **asdict(found)}


@app.get("/health")
async def health(request: Request) -> dict[str, str]:
    """Answers 503 while no analysis can be started. For alerts: a restart buys no credits."""
    ochy: OchySession = request.app.state.ochy
    try:
        await ochy.ping()
    except OchyError as error:
        raise HTTPException(503, f"The Ochy API does not answer: {type(error).__name__}.") from None
    if jobs.problem:
        raise HTTPException(503, jobs.problem)
    return {"status": "ok"}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
