"""The table of views: everything in which one type of analysis differs from another.

A further type of analysis is a module like `side_view` and `back_view`, a row here, and its exports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from attrs import fields, frozen

from . import back_view, side_view
from .answer import Answer
from .assessment import CalculatedData
from .request import AnalysisRequest

__all__ = [
    "BY_WORD",
    "REQUEST_CLASSES",
    "VIEWS",
    "VIEW_WORDS",
    "AnalysisView",
    "Calculated",
    "Results",
    "recognized_view",
    "view_title",
]

Results = side_view.SideViewResults | back_view.BackViewResults
"""The results of any view: what is known of an analysis that another program started."""
Calculated = side_view.SideViewCalculated | back_view.BackViewCalculated
"""The calculated data of any view."""


@frozen(kw_only=True)
class AnalysisView:
    """One type of analysis."""

    request: type[AnalysisRequest[Any, Any]]
    word: str
    """Its name in options and manifests. Manifests accept the vendor's name too."""
    portrait_overground: bool
    """Whether an overground clip is filmed in portrait format; otherwise in landscape format."""
    portrait_on_treadmill: bool
    content_keys: frozenset[str] = frozenset()
    """Keys of `analysis_content` that occur in results of this view only."""
    calculated_keys: frozenset[str] = frozenset()
    """Keys that occur in calculated data of this view only."""
    measures: Mapping[str, str]
    """The columns of `results.csv` that only this view fills, in order, and the path of attributes to each value, from
    `results` or `calculated` on."""
    measured_paths: Callable[[Any], frozenset[str]]
    """Given the calculated data or None, the JSON paths whose numbers are in `measures`."""

    @property
    def name(self) -> str:
        """The vendor's `analysis_type`."""
        return self.request.view

    @property
    def results(self) -> type[Answer]:
        """The class of its results."""
        return self.request.results_type

    @property
    def calculated(self) -> type[CalculatedData]:
        """The class of its calculated data."""
        return self.request.calculated_type

    @property
    def fields(self) -> frozenset[str]:
        """The fields of its request."""
        return frozenset(each.name for each in fields(self.request))

    def foreign(self, names: Iterable[str]) -> Mapping[str, str]:
        """The fields among `names` that only other views have, each with the words of those views."""
        return {name: words for name in names if name not in self.fields and (words := _words_with(name))}

    def portrait(self, *, treadmill: bool) -> bool:
        """Whether its clips are filmed in portrait format (documented)."""
        return self.portrait_on_treadmill if treadmill else self.portrait_overground


_TABLE: Final = (
    AnalysisView(  # Assumed where no key of an answer belongs to another view.
        request=side_view.SideView,
        word="side",
        portrait_overground=False,
        portrait_on_treadmill=True,
        measures=side_view.MEASURES,
        measured_paths=side_view.measured_paths,
    ),
    AnalysisView(
        request=back_view.BackView,
        word="back",
        portrait_overground=True,
        portrait_on_treadmill=True,
        content_keys=frozenset({"pronation", "knee_adduction", "pelvic_drop"}),
        calculated_keys=frozenset({"gait_cycle"}),
        measures=back_view.MEASURES,
        measured_paths=back_view.measured_paths,
    ),
)
VIEWS: Final = {view.name: view for view in _TABLE}
"""The views by the vendor's `analysis_type`."""
REQUEST_CLASSES: Final = " or ".join(f"a {view.request.__name__}" for view in _TABLE)
"""The request classes, for messages."""
VIEW_WORDS: Final = tuple(view.word for view in _TABLE)
"""The values of the option `--view`."""
BY_WORD: Final[Mapping[str, AnalysisView]] = VIEWS | {view.word: view for view in _TABLE}
"""The views by all names under which manifests know them."""


def recognized_view(body: Mapping[str, Any]) -> AnalysisView:
    """The view to which the keys of results or calculated data belong, because answers do not name it (inferred)."""
    analysis = body.get("biomechanical_analysis")
    content = analysis.get("analysis_content") if isinstance(analysis, dict) else None
    keys = content.keys() if isinstance(content, dict) else frozenset()
    for view in _TABLE:
        if view.calculated_keys & body.keys() or view.content_keys & keys:
            return view
    return _TABLE[0]


def view_title(name: str | None) -> str:
    """The vendor's name of a view in words: `side view`. A view that nobody knows yet is passed through."""
    return (name or "unknown view").replace("_", " ")


def _words_with(field: str) -> str:
    return " or ".join(view.word for view in _TABLE if field in view.fields)
