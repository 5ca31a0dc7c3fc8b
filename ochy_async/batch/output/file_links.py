"""The links to the files of one analysis: those of the results at hand, or fresh ones.

Invariant: a link is asked for anew only where none is known or the known one has died, which costs nothing.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from ...core import SessionCore
from ...errors import NotReady, UnreadableAnswer
from ...protocol.analysis import Started, Status, results_call
from ...protocol.answer import Answer, SignedUrl
from ...protocol.routes import RESULTS
from ...waiting import analysis_failed

__all__ = ["FileLinks"]


@define(eq=False)
class FileLinks:
    """Where the thumbnail and the annotated video of an analysis are."""

    core: SessionCore
    analysis: Started[Any, Any] | str | None
    """What to ask for fresh links; None where the id is not known."""
    _results: Answer | None = field(default=None, repr=False)

    @property
    def analysis_id(self) -> str | None:
        """The id of the analysis, where it is known."""
        return self.analysis.analysis_id if isinstance(self.analysis, Started) else self.analysis

    async def link(self, file: str, fresh: bool) -> SignedUrl:
        """The link to `thumbnail` or `output_video`.

        Raises `NotReady` before `success`, `AnalysisFailed`, `UnreadableAnswer` where there is none, and what looking
        raises.
        """
        url: SignedUrl | None = getattr(self._results, file, None)
        if (fresh or url is None) and self.analysis is not None:
            self._results = await self._looked_up(self.analysis)
            url = getattr(self._results, file, None)
        if url is None:
            said = f"The results hold no link to the {file}. Ask again later, with the id of the analysis."
            raise UnreadableAnswer(said, analysis_id=self.analysis_id)
        return url

    async def _looked_up(self, analysis: Started[Any, Any] | str) -> Answer:
        state = await self.core.perform(results_call(analysis))
        if state.status == Status.FAILED:
            raise analysis_failed(state)
        if state.results is None:
            raise NotReady(
                f"The analysis {state.analysis_id} has not succeeded yet, so it has no files. Wait for it with `wait`, "
                "then ask again.",
                route=str(RESULTS),
                analysis_id=state.analysis_id,
            )
        results: Answer = state.results
        return results
