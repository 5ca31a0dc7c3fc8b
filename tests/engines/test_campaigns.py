"""Three workers of each engine, killed with SIGKILL at random, on a server with faults: no clip is bought twice."""

from __future__ import annotations

import pytest

from tests.conftest import CLIP
from tests.support.object_servers import ObjectServer

pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is not installed")

from tests.support.engine_campaigns import Plan, run_campaign

TASKS = 20
DISTINCT = 16
"""Contents: the last clips are copies of the first ones, under other names."""
ENGINES = {"pgqueuer": ("pgqueuer", "queue"), "dask": ("distributed", "dask")}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("objects", [False, True], ids=["files", "objects"])
def test_workers_that_are_killed_buy_no_clip_twice(engine: str, objects: bool, object_store: ObjectServer) -> None:
    """Charges are the number of contents, less those whose start is told as uncertain and did not happen."""
    library, extra = ENGINES[engine]
    pytest.importorskip(library, reason=f"needs the extra {extra}: {library} is not installed")
    urls: list[str] = []
    if objects:
        object_store.put(engine)
        urls = [f"s3://{engine}/{number:02}.mp4" for number in range(TASKS)]
        for number in range(TASKS):
            object_store.put(engine, f"{number:02}.mp4", CLIP + urls[number % DISTINCT].encode())
    plan = Plan(
        engine=engine,
        tasks=TASKS,
        copies=TASKS - DISTINCT,
        kills=4,
        seed=7,
        urls=tuple(urls),
        environment=object_store.environment,
    )
    result = run_campaign(plan)
    assert not result.wrong, "\n".join(result.wrong)
    assert (result.tasks, result.distinct, result.most, result.kills) == (TASKS, DISTINCT, 1, 4)
