"""Figures for papers: what is drawn, that it is the same everywhere, and that odd input is a text or a reason."""

from __future__ import annotations

import filecmp
import itertools
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from statistics import fmean, stdev
from threading import Event, Thread
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="needs the extra plot: matplotlib is not installed")

import matplotlib as mpl
from attrs import evolve
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ochy_async.errors import InvalidSettings
from ochy_async.gait import BackGait, CannotTell, SideGait, back_gait, side_gait
from ochy_async.gait.curves import Curve
from ochy_async.report import comparison_figure, figure, group_figure, write_figures
from ochy_async.report.figure_content import RunnerMeans, comparison_content, group_content, single_content
from tests.gait.recordings import filmed, landmarks, renamed, runner
from tests.support.report_folders import HOSTILE, record, report_folder, write_records

FRAMES = filmed(runner(1), noise=2.0)
SIDE = side_gait(landmarks(FRAMES))
OTHERS = [side_gait(landmarks(filmed(runner(seed)))) for seed in (2, 3)]
BACK = back_gait(landmarks(filmed(runner(1), "back_view", noise=2.0), "back_view"))
PERCENT = [float(point) for point in range(101)]
PROGRAM = """
import sys, matplotlib
if sys.argv[1] == "odd":
    matplotlib.rcParams.update({"axes.grid": True, "axes.facecolor": "red", "path.simplify": False, "font.size": 20})
from ochy_async.report import figure
from tests.gait.recordings import filmed, landmarks, runner
drawn = figure(landmarks(filmed(runner(1))), "all", duty_factor=0.3, title="Ada")
for kind in ("pdf", "svg", "png"):
    drawn.savefig(sys.argv[2] + "." + kind)
assert "matplotlib.pyplot" not in sys.modules
"""


def panels(drawn: Figure) -> dict[str, Axes]:
    """The panels by their titles."""
    return {axes.get_title(loc="left"): axes for axes in drawn.axes}


def lines(axes: Axes) -> list[Any]:
    """The curves of a panel."""
    found: list[Any] = list(axes.get_lines())
    return [line for line in found if len(line.get_xdata()) == 101]


def band(axes: Axes, place: int) -> list[tuple[float, float]]:
    """The lowest and the highest value of a band at each point."""
    values: dict[float, list[float]] = {}
    edges: Any = axes.collections[place].get_paths()[0].vertices
    for x, y in edges:
        values.setdefault(round(float(x), 6), []).append(float(y))
    return [(min(each), max(each)) for _, each in sorted(values.items())]


def texts(drawn: Figure) -> str:
    """All texts of the figure itself."""
    return "\n".join(text.get_text() for text in (*drawn.texts, *drawn.legends[0].get_texts()))


def small_print(drawn: Figure) -> str:
    """The text below the panels, on one line."""
    return " ".join(drawn.get_supxlabel().split())


def saved(drawn: Figure, kind: str = "pdf", **options: Any) -> bytes:
    """The file."""
    body = BytesIO()
    drawn.savefig(body, format=kind, **options)
    return body.getvalue()


def same_files(one: Figure, other: Figure) -> bool:
    """Not to be asserted of the bytes themselves: with `CI` set, pytest takes minutes to write down how they differ."""
    return saved(one) == saved(other)


@pytest.mark.parametrize(
    ("gait", "title", "name", "ends"),
    [
        (SIDE, "Hip flexion", "hip", (0, 100)),
        (SIDE, "Knee flexion", "knee", (0, 100)),
        (SIDE, "Ankle dorsiflexion", "ankle", (0, 100)),
        (SIDE, "Elbow flexion", "elbow", (0, 100)),
        (SIDE, "Trunk lean", "trunk", (0, 100)),
        (BACK, "Pelvic drop", "pelvic_drop", (-20, 20)),
        (BACK, "Knee adduction", "knee_adduction", (-20, 20)),
    ],
)
def test_a_panel_shows_the_curves_of_the_gait(
    gait: SideGait | BackGait, title: str, name: str, ends: tuple[int, int]
) -> None:
    """The mean of each side over the gait cycle, and a band of one standard deviation."""
    axes = panels(figure(gait, "all"))[title]
    along = [ends[0] + (ends[1] - ends[0]) * point / 100 for point in PERCENT]
    for place, (side, line) in enumerate(zip(("left", "right"), lines(axes), strict=True)):
        curve: Curve = gait.curves[side][name]
        assert list(line.get_xdata()) == pytest.approx(along)
        assert list(line.get_ydata()) == list(curve.mean)
        edges = [(m - d, m + d) for m, d in zip(curve.mean, curve.deviation, strict=True)]
        assert band(axes, place) == [pytest.approx(edge) for edge in edges]
    assert axes.get_xlim() == ends


def test_the_stance_is_shaded_by_the_duty_factor_only() -> None:
    """As far as the vendor's number says; nothing is shaded without it, or in a back view."""
    for axes in figure(SIDE, duty_factor=0.31).axes:
        shaded = axes.patches[0].get_window_extent().transformed(axes.transData.inverted())
        assert (shaded.x0, shaded.x1) == pytest.approx((0, 31))
    assert not any(axes.patches for drawn in (figure(SIDE), figure(BACK, duty_factor=0.3)) for axes in drawn.axes)
    assert "Stance (31 %)" in texts(figure(SIDE, duty_factor=0.31))
    assert "tance" not in texts(figure(SIDE)) + small_print(figure(SIDE))


def test_axes_have_units_and_the_legend_counts_the_strides() -> None:
    """Degrees and per cent of the gait cycle; how many strides each side has."""
    drawn = figure(SIDE, ["knee"])
    (axes,) = drawn.axes
    assert axes.get_xlabel() == "Gait cycle (%)"
    assert axes.get_ylabel() == "Angle (°)"
    for side in ("left", "right"):
        assert f"{side.capitalize()} ({SIDE.curves[side]['knee'].strides} strides)" in texts(drawn)
    assert figure(BACK, ["knee"]).axes[0].get_xlabel() == "From mid-stance (% of gait cycle)"


@pytest.mark.parametrize(
    "drawn", [figure(SIDE), figure(BACK), group_figure([SIDE, *OTHERS]), comparison_figure([SIDE, *OTHERS])]
)
def test_every_figure_says_who_measured(drawn: Figure) -> None:
    """The small print."""
    assert "read off the landmarks by ochy-async, not measured by Ochy" in small_print(drawn)


def test_the_sides_differ_in_gray_and_in_style() -> None:
    """So that a print without colors and color-blind readers can tell them apart."""
    left, right = lines(figure(SIDE, ["knee"]).axes[0])
    assert left.get_linestyle() != right.get_linestyle()
    assert brightness(right) - brightness(left) > 0.15


def brightness(line: Any) -> float:
    """0 is black."""
    red, green, blue = to_rgb(line.get_color())
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_no_time_is_shown() -> None:
    """The figure is the same with and without a frame rate."""
    without = landmarks(FRAMES, fps=None)
    assert same_files(figure(side_gait(without)), figure(SIDE))


@pytest.mark.parametrize("width", [60, 85, 180, 400])
@pytest.mark.parametrize("what", [["knee"], "all"])
def test_the_width_is_exact(width: int, what: Any) -> None:
    """In millimeters, whatever is drawn; no figure is higher than a page."""
    drawn = figure(SIDE, what, width=width)
    assert drawn.get_figwidth() * 25.4 == pytest.approx(width)
    assert drawn.get_figheight() * 25.4 < 290
    pixels = int.from_bytes(saved(drawn, "png", dpi=100)[16:20], "big")
    assert pixels == pytest.approx(width / 25.4 * 100, abs=1)


def test_texts_are_eight_points() -> None:
    """The small print has six."""
    drawn = figure(SIDE, ["knee"], title="Ada")
    (axes,) = drawn.axes
    named = (axes.xaxis.label, axes.yaxis.label, axes.title, *axes.get_xticklabels(), *drawn.legends[0].get_texts())
    assert {text.get_fontsize() for text in (*named, drawn.legends[0].get_title())} == {8.0}


# --- files ------------------------------------------------------------------------------------------


def test_the_same_input_gives_the_same_bytes_everywhere(tmp_path: Path) -> None:
    """In two processes with other settings of matplotlib, another hash seed and another day; without pyplot."""
    for number, (settings, day) in enumerate([("usual", "0"), ("odd", "999999999")]):
        environment = {**os.environ, "PYTHONHASHSEED": str(number + 1), "SOURCE_DATE_EPOCH": day}
        command = [sys.executable, "-c", PROGRAM, settings, str(tmp_path / str(number))]
        subprocess.run(command, env=environment, check=True)  # noqa: S603 - this program
    for kind in ("pdf", "svg", "png"):
        first, second = (tmp_path / f"{number}.{kind}" for number in (0, 1))
        # As in `same_files`.
        assert filecmp.cmp(first, second, shallow=False), kind


def test_the_date_of_a_file_may_be_given() -> None:
    """The caller's metadata comes first."""
    assert b"/Title (Gait)" in saved(figure(SIDE, ["knee"]), metadata={"Title": "Gait"})


def test_the_users_settings_stay() -> None:
    """Drawing and saving change none of matplotlib's settings."""
    before = dict(mpl.rcParams)
    saved(figure(SIDE, ["knee"]))
    assert dict(mpl.rcParams) == before


def test_two_threads_never_change_the_settings_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of matplotlib belong to the process, so a thread would restore those of another one."""
    entered, overlapped = [Event(), Event()], list[bool]()
    second = Thread(target=figure, args=(SIDE, ["knee"]))

    def enter(original: Callable[[], None] = mpl.rcdefaults) -> None:
        if entered[0].is_set():
            entered[1].set()
        else:
            entered[0].set()
            second.start()
            overlapped.append(entered[1].wait(2))
        original()

    monkeypatch.setattr(mpl, "rcdefaults", enter)
    figure(SIDE, ["knee"])
    second.join()
    assert entered[1].is_set()
    assert overlapped == [False]


def test_a_pdf_holds_truetype_fonts() -> None:
    """Journals refuse Type 3, and text can be searched."""
    body = saved(figure(SIDE, title="Ada"))
    assert b"/CIDFontType2" in body
    assert b"/Type3" not in body


def test_an_svg_needs_no_font() -> None:
    """It has no text that a viewer would draw with another font."""
    assert b"<text" not in saved(figure(SIDE, ["knee"], title="Ada"), "svg")


# --- titles -----------------------------------------------------------------------------------------

TITLES = {
    "mathematics": "$x$",
    "backslashes": "\\frac{1}{2} \\n x_1^2 & % # {",
    "control characters": "a\nb\x00\x1b[31m",
    "markup": HOSTILE,
    "half a letter": "\ud800",
    "long": "é" * 300,
    "no letter": "\U0010fffd",
    "Chinese": "李雷",
}


@pytest.mark.parametrize("title", TITLES.values(), ids=TITLES)
@pytest.mark.parametrize("kind", ["pdf", "svg", "png"])
def test_a_title_is_only_a_text(title: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """No mathematics, no line break, no warning, and not wider than the figure."""
    caplog.set_level(logging.WARNING)
    drawn = figure(SIDE, ["knee"], title=title)
    text = drawn.legends[0].get_title()
    assert text.get_window_extent().width <= drawn.bbox.width
    assert saved(drawn, kind)
    assert not text.get_parse_math()
    assert text.get_text().isprintable()
    assert caplog.records == []


def test_figures_of_simulated_results_say_so() -> None:
    """In the small print, whichever kind of figure it is."""
    single = single_content(SIDE, ["knee"], None, simulated=True)
    means = RunnerMeans(back=False)
    means.add(SIDE, None)
    assert "Simulated" not in comparison_or_group_notes(means)
    means.add(SIDE, None, simulated=True)
    for note in (single.note, comparison_or_group_notes(means)):
        assert "Simulated by the emulator" in note
    assert "Simulated" not in single_content(SIDE, ["knee"], None).note


def comparison_or_group_notes(means: RunnerMeans) -> str:
    """The small print of the figures that show several recordings."""
    compared = comparison_content(evolve(means, recordings=means.recordings * 2), ["knee"]).note
    group = group_content([means, means], ["knee"]).note
    assert ("Simulated" in compared) == ("Simulated" in group)
    return compared


def test_a_title_shows_no_mark_for_what_has_no_shape() -> None:
    """Spaces of every kind are spaces, and joiners of letters are left out, for matplotlib draws each by itself."""
    drawn = figure(SIDE, ["knee"], title="Zo\u00eb\u00a0M\u00fcller\nA\u200d\ufe0f\u00adB")
    assert drawn.legends[0].get_title().get_text() == "Zo\u00eb M\u00fcller AB"


def test_letters_that_no_font_has_are_marked() -> None:
    """The title says that something was there."""
    assert (
        figure(SIDE, ["knee"], title="A\U0010fffdB").legends[0].get_title().get_text() == "A\N{REPLACEMENT CHARACTER}B"
    )


def test_letters_of_other_fonts_are_not_lost_in_a_pdf() -> None:
    """Type 42 would lose the outlines of most fonts for Chinese in silence."""
    drawn = figure(SIDE, ["knee"], title="李雷")
    if "\N{REPLACEMENT CHARACTER}" in drawn.legends[0].get_title().get_text():
        pytest.skip("no font with Chinese letters is installed")
    assert b"/Type3" in saved(drawn)


# --- what cannot be drawn ---------------------------------------------------------------------------


@pytest.mark.parametrize(("gait", "what"), [(SIDE, ["pelvis"]), (BACK, ["hip", "ankle"])])
def test_an_angle_of_the_other_view_cannot_be_told(gait: SideGait | BackGait, what: Sequence[str]) -> None:
    """The reason names the angles that the view has."""
    with pytest.raises(CannotTell, match=r"view shows .*knee"):
        figure(gait, what)


def test_an_angle_without_joints_is_left_out() -> None:
    """COCO has no feet: the others are drawn, and alone it is a reason."""
    parts = ("shoulder", "hip", "knee", "ankle")
    names = {"nose": "nose"} | {f"{side}_{part}": f"{side}_{part}" for side in ("left", "right") for part in parts}
    gait = side_gait(landmarks(renamed(FRAMES, names)))
    assert list(panels(figure(gait))) == ["Hip flexion", "Knee flexion"]
    with pytest.raises(CannotTell, match="lack a joint"):
        figure(gait, ["ankle"])


def test_one_stride_has_no_band() -> None:
    """There is no standard deviation of one."""
    gait = side_gait(landmarks(filmed(runner(1), seconds=1.6)))
    assert gait.curves["left"]["knee"].strides == 1
    drawn = figure(gait, ["knee"])
    assert not drawn.axes[0].collections
    assert "Left (1 stride)" in texts(drawn)


WRONG: dict[str, Callable[[], object]] = {
    "unknown angle": lambda: figure(SIDE, ["shoulder"]),
    "no angle": lambda: figure(SIDE, []),
    "no width": lambda: figure(SIDE, width=0),
    "huge width": lambda: figure(SIDE, width=1e9),
    "no number": lambda: figure(SIDE, width=float("nan")),
    "duty factor of 0": lambda: figure(SIDE, duty_factor=0),
    "duty factor of 36": lambda: figure(SIDE, duty_factor=36),
    "unknown duty factor": lambda: figure(SIDE, duty_factor=float("nan")),
    "unknown view": lambda: figure(landmarks(FRAMES), view="top_view"),
    "both views in a group": lambda: group_figure([SIDE, BACK]),
    "both views compared": lambda: comparison_figure([SIDE, BACK]),
}


@pytest.mark.parametrize("draw", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_settings(draw: Callable[[], object]) -> None:
    """They raise an error that says what is right."""
    with pytest.raises(InvalidSettings):
        draw()


def test_landmarks_are_read_as_their_view() -> None:
    """The figure is that of the gait."""
    assert same_files(figure(landmarks(FRAMES)), figure(SIDE))
    back = landmarks(filmed(runner(1), "back_view", noise=2.0), "back_view")
    assert same_files(figure(back, view="back_view"), figure(BACK))


def test_a_missing_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command can be pasted."""
    monkeypatch.setattr("ochy_async.report.figures.find_spec", lambda _: None)
    for draw in (lambda: figure(SIDE), lambda: write_figures(tmp_path)):
        with pytest.raises(InvalidSettings, match=r"pip install 'ochy-async\[plot\]'"):
            draw()


# --- several recordings -----------------------------------------------------------------------------


def test_a_group_is_the_mean_of_the_runners_means() -> None:
    """A runner with two recordings counts once, and the band is the standard deviation across runners."""
    drawn = group_figure([[SIDE, OTHERS[0]], OTHERS[1]], ["knee"])
    (axes,) = drawn.axes
    curves = [gait.curves["left"]["knee"].mean for gait in (SIDE, *OTHERS)]
    first = [fmean(pair) for pair in zip(*curves[:2], strict=True)]
    means = list(zip(first, curves[2], strict=True))
    assert list(lines(axes)[0].get_ydata()) == pytest.approx([*map(fmean, means)])
    edges = [(fmean(pair) - stdev(pair), fmean(pair) + stdev(pair)) for pair in means]
    assert band(axes, 0) == [pytest.approx(edge) for edge in edges]
    assert "Left (2 runners)" in texts(drawn)
    assert "SD across runners" in small_print(drawn)


def test_one_runner_is_no_group() -> None:
    """Nor are two who show different angles."""
    with pytest.raises(CannotTell, match="needs 2"):
        group_figure([[SIDE, *OTHERS]])
    with pytest.raises(CannotTell):
        group_figure([])


def test_a_comparison_has_a_line_for_each_recording() -> None:
    """A panel for each side, and the later a recording, the darker its line."""
    drawn = comparison_figure([SIDE, *OTHERS], ["knee"])
    assert list(panels(drawn)) == ["Knee flexion, left", "Knee flexion, right"]
    for side, axes in zip(("left", "right"), drawn.axes, strict=True):
        curves = [list(gait.curves[side]["knee"].mean) for gait in (SIDE, *OTHERS)]
        assert [list(line.get_ydata()) for line in lines(axes)] == curves
        shades = [brightness(line) for line in lines(axes)]
        assert all(later < earlier for earlier, later in itertools.pairwise(shades))
    assert drawn.axes[0].get_ylim() == drawn.axes[1].get_ylim()


def test_many_recordings_have_a_short_legend() -> None:
    """It names the first and the last."""
    assert texts(comparison_figure([SIDE] * 12, ["knee"])).splitlines()[1:] == ["Recording 1", "Recording 12"]


def test_a_comparison_needs_two_recordings() -> None:
    """The reason says how many there are."""
    with pytest.raises(CannotTell, match="is 1 recording"):
        comparison_figure([SIDE])


# --- folders ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with everything."""
    return report_folder(tmp_path_factory.mktemp("results"))


def test_each_analysis_has_a_file(folder: Path, tmp_path: Path) -> None:
    """Named after its raw data; only the user may read it; a clip without results needs none."""
    written = write_figures(folder, tmp_path, what=["knee"])
    assert written.failures == []
    assert sorted(written.files) == sorted(tmp_path.iterdir())
    assert {path.name for path in written.files} == {f"run-{n}.analysis-{n}.pdf" for n in range(8)}
    if os.name != "nt":
        assert {stat.S_IMODE(path.stat().st_mode) for path in written.files} == {0o600}


def first_of(folder: Path, target: Path, **fields: Any) -> Path:
    """A folder with the first analysis of another one."""
    raw_data = "run-0.analysis-0.raw_data.json"
    write_records(target, record(0, files=[raw_data], **fields))
    (target / raw_data).write_bytes((folder / raw_data).read_bytes())
    return target


def test_the_stance_is_that_of_the_analysis(folder: Path, tmp_path: Path) -> None:
    """A file is another one without the duty factor."""
    shaded, plain = (
        write_figures(first_of(folder, tmp_path / name, **fields), what=["knee"]).files[0].read_bytes()
        for name, fields in (("with", {}), ("without", {"calculated": None}))
    )
    assert len(plain) < len(shaded)


def test_the_group_of_each_view_has_a_file(folder: Path, tmp_path: Path) -> None:
    """Two recordings of a runner count once."""
    written = write_figures(folder, tmp_path, per="group", what=["knee"], file_format="svg")
    assert [path.name for path in written.files] == ["group.side_view.svg", "group.back_view.svg"]
    assert written.failures == []


def test_each_runner_with_several_recordings_has_a_file(folder: Path, tmp_path: Path) -> None:
    """The folder has two runners who ran twice; the others are counted."""
    written = write_figures(folder, tmp_path, per="runner", what=["knee"], names=True)
    assert [path.name for path in written.files] == ["runner.Runner_0.side_view.pdf"]
    assert any("with one recording" in note for note in written.notes)


@pytest.mark.parametrize(
    "fields",
    [
        {"calculated": {"metrics": {"duty_factor": -1}}},
        {"calculated": {"metrics": {"duty_factor": "long"}}},
        {"clip": None, "subject": None, "subject_id": None},
        {"subject": 3, "language": 4, "reason": None},
    ],
)
def test_odd_records_are_drawn(folder: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    """Only the landmarks are needed."""
    written = write_figures(first_of(folder, tmp_path, **fields), what=["knee"], names=True, file_format="svg")
    assert (len(written.files), written.failures) == (1, [])


def test_an_unknown_view_is_a_reason(folder: Path, tmp_path: Path) -> None:
    """Its landmarks are not read as those of another view."""
    written = write_figures(first_of(folder, tmp_path, view="top_view"))
    assert written.files == []
    assert written.failures == ["run-0.mp4: whether it is a side view or a back view is not known"]


def test_names_are_above_figures_only_if_asked_for(folder: Path, tmp_path: Path) -> None:
    """A paper shows no names."""
    named, unnamed, same = (
        write_figures(first_of(folder, tmp_path / subject, subject=subject), what=["knee"], names=names)
        .files[0]
        .read_bytes()
        for subject, names in (("Ada", True), ("Ben", False), ("Cleo", False))
    )
    assert len(unnamed) < len(named)
    assert unnamed == same
