"""What `repr` shows of a report's parts: nobody's name, and no number of a body."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")

from ochy_async.report.overview_page import overview_page
from ochy_async.report.results_folder import analyses_in
from ochy_async.report.statistics import folder_statistics
from tests.support.report_folders import record, write_records


def test_rows_of_an_overview_tell_nothing_when_they_are_printed(tmp_path: Path) -> None:
    """Asserts and logs use `repr`, which names nobody and holds no number of a body."""
    lines = [record(number, subject="Mia Secret", clip="mia-secret.mp4") for number in range(2)]
    statistics = folder_statistics(analyses_in(write_records(tmp_path, *lines)))
    shown = repr(statistics) + repr(statistics.rows) + repr(statistics.progress())
    assert "ecret" not in shown
    assert "cadence" not in shown
    assert str(statistics.rows[0].score) not in shown
    assert "Mia Secret" in overview_page(statistics, "results")
