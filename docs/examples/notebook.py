# %% [markdown]
# # Analyze clips in a notebook
#
#     pip install 'ochy-async[video]' numpy
#     export OCHY_API_KEY=…
#
# Open this file in VS Code, Spyder or PyCharm, or convert it with `jupytext --to ipynb notebook.py`. Notebooks allow
# `await` outside of functions.

# %%
from pathlib import Path
from typing import Any

import numpy as np

from ochy_async import Analyzed, OchySession, SideView
from ochy_async.batch.outcomes import Outcome

ochy = await OchySession().open()

# %% [markdown]
# This cell spends a credit for each clip that is new. Run it as often as you like: `notebook.journal` remembers what
# was paid for, even if the kernel dies. A call of `ochy.analyze` would buy its clip again whenever the cell is run.


# %%
async def analyze(clips: list[Path]) -> list[Outcome[Any, Any]]:
    async with ochy.batch(SideView(height=1.75, weight=68), journal="notebook.journal", max_credits=20) as batch:
        outcomes = [outcome async for outcome in batch.run(clips)]
        print(batch.report)
    return sorted(outcomes, key=lambda each: each.index)


outcomes = await analyze(sorted(Path("clips").glob("*.mp4")))

# %%
for outcome in outcomes:
    print(outcome)

# %% [markdown]
# Calculated data and landmarks cost nothing. Landmarks are columns: a row for each frame, a column for each landmark.

# %%
analyzed = [outcome.results for outcome in outcomes if isinstance(outcome, Analyzed)]
for results in analyzed:
    print(await ochy.calculated_data(results.analysis_id))

# %%
for results in analyzed[:1]:
    landmarks = await ochy.raw_data(results.analysis_id)
    for name, track in zip(landmarks.names, np.asarray(landmarks.y).T, strict=True):
        print(f"{name:20} moves {np.nanmax(track) - np.nanmin(track):.3f} up and down (the vendor documents no unit)")

# %% [markdown]
# Close the session at the end. Restarting the kernel closes it, too.

# %%
await ochy.aclose()
