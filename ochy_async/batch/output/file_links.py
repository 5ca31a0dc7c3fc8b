"""The links to the files of one analysis: those in its results, or fresh ones.

Invariant: a fresh link is requested, which costs nothing, only if there is no link yet or it has expired.
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
    """The links to the thumbnail and the annotated video of an analysis."""

    _core: SessionCore
    analysis: Started[Any, Any] | str | None
    """The analysis that can be asked for fresh links; None if its id is not known."""
    _results: Answer | None = field(default=None, repr=False)

    @property
    def analysis_id(self) -> str | None:
        """The id of the analysis, if it is known."""
        return self.analysis.analysis_id if isinstance(self.analysis, Started) else self.analysis

    async def link(self, file: str, fresh: bool) -> SignedUrl:
        """Returns the link to `thumbnail` or `output_video`; with `fresh` a new one, if that can be requested.

        Raises `NotReady` before the analysis has succeeded, `AnalysisFailed`, `UnreadableAnswer` if there is no link,
        and the errors of a results call.
        """
        url: SignedUrl | None = getattr(self._results, file, None)
        if (fresh or url is None) and self.analysis is not None:
            self._results = await self._requested(self.analysis)
            url = getattr(self._results, file, None)
        if url is None:
            text = f"The results hold no link to the {file}. Ask again later, with the id of the analysis."
            raise UnreadableAnswer(text, analysis_id=self.analysis_id)
        return url

    async def _requested(self, analysis: Started[Any, Any] | str) -> Answer:
        state = await self._core.perform(results_call(analysis))
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
