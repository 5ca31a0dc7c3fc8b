"""The results of a simulated runner: scores and texts of both views in every language."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
from hypothesis import given

from ochy_async.emulator import BEHAVIORS
from ochy_async.emulator.assessments import back_view_results, side_view_results
from ochy_async.emulator.biomechanics.runner import Runner, runner_of
from ochy_async.emulator.calculated_data import back_view_calculated
from ochy_async.emulator.exercises import EXERCISE_KEYS, find_exercises
from tests.support.simulated_runners import SIDES, few_examples, make_runner, runners, scored

SIDE_PARTS = {"arm", "back_cycle", "foot", "forward_cycle", "head", "trunk"}
BACK_PARTS = {"knee_adduction", "pelvic_drop", "pronation"}


# Scores


@few_examples
@given(runners)
def test_scores_are_between_0_and_1(runner: Runner) -> None:
    """In both views."""
    for answer in (
        side_view_results(runner, language="en"),
        back_view_results(runner, language="en", full_body=True),
    ):
        scores = [item["score_number"] for item in scored(answer)]
        assert all(0 <= score <= 1 for score in (*scores, answer["total_score"]))


@pytest.mark.parametrize(
    ("elbow", "score"), [(83, 1.0), (78, 0.75), (88, 0.75), (74, 0.5), (92, 0.5), (73, 0.45), (60, 0.0)]
)
def test_the_score_falls_from_good_to_okay(elbow: float, score: float) -> None:
    """An elbow of 83° is best; the edge of good scores 0.75, the edge of okay 0.5."""
    content = side_view_results(attrs.evolve(make_runner(), elbow_angle=elbow), language="en")["analysis_content"]
    assert content["arm"]["score_number"] == pytest.approx(score, abs=0.002)


@pytest.mark.parametrize(("pronation", "score"), [(2.75, 1.0), (5.5, 0.75), (6.5, 0.625), (7.5, 0.5), (13, 0.0)])
def test_the_score_is_continuous_for_adjacent_ranges(pronation: float, score: float) -> None:
    """The okay range of pronation begins where good ends, at 5.5°, and the score does not jump there."""
    runner = attrs.evolve(make_runner(), left=attrs.evolve(make_runner().left, pronation=pronation))
    content = back_view_results(runner, language="en", full_body=False)["analysis_content"]
    assert content["pronation"]["left"]["score_number"] == pytest.approx(score)


def test_a_side_view_has_six_parts() -> None:
    """It also has the foot strike pattern and a running style."""
    answer = side_view_results(make_runner(), language="en")
    assert set(answer) == {"analysis_content", "running_styles", "total_score"}
    assert set(answer["analysis_content"]) == SIDE_PARTS
    assert set(answer["running_styles"]) == {"title", "animal", "percentage", "summary"}
    foot = answer["analysis_content"]["foot"]
    assert foot["foot_strike_pattern"] == make_runner().foot_strike_pattern
    assert foot["texts"]["overstride_title"] == "Overstride"


def test_the_ranges_are_those_of_the_vendors_sample() -> None:
    """Okay encloses good for the arms and adjoins it for the back cycle."""
    content = side_view_results(make_runner(), language="en")["analysis_content"]
    ranges = {part: (content[part]["range_good"], content[part]["range_okay"]) for part in ("arm", "back_cycle")}
    assert ranges == {"arm": ([78, 88], [74, 92]), "back_cycle": ([0, 98], [98, 107])}


def test_the_weakest_part_varies() -> None:
    """No part is the weakest of more than half of all runners, and four or more parts are the weakest of some."""
    weakest = Counter[str]()
    for number in range(60):
        runner = runner_of(number.to_bytes(2, "big"), height=1.75, weight=70, pace=None)
        content = side_view_results(runner, language="en")["analysis_content"]
        weakest[min(content, key=lambda part: content[part]["score_number"])] += 1
    assert len(weakest) >= 4
    assert max(weakest.values()) <= 30


@pytest.mark.parametrize(("full_body", "parts"), [(True, BACK_PARTS), (False, {"pronation"})])
def test_without_full_body_there_is_only_pronation(full_body: bool, parts: set[str]) -> None:
    """Of both legs."""
    content = back_view_results(make_runner(), language="en", full_body=full_body)["analysis_content"]
    assert set(content) == parts
    assert all(tuple(item) == SIDES for item in content.values())
    cycle = back_view_calculated(make_runner(), full_body=full_body)["gait_cycle"]
    assert all(set(cycle[side]["stance_mean"]) == parts for side in SIDES)


def test_the_texts_of_a_back_view_have_their_keys() -> None:
    """The texts of each leg have a side and an explanation."""
    content = back_view_results(make_runner(), language="en", full_body=True)["analysis_content"]
    for side in SIDES:
        texts = content["pelvic_drop"][side]["texts"]
        assert set(texts) == {"explanation", "position", "recap", "search_key", "side", "title"}
        assert texts["side"] == side


@few_examples
@given(runners)
def test_every_search_key_has_exercises(runner: Runner) -> None:
    """The keys in results find exercises."""
    for answer in (
        side_view_results(runner, language="en"),
        back_view_results(runner, language="en", full_body=True),
    ):
        assert {item["texts"]["search_key"] for item in scored(answer)} <= set(EXERCISE_KEYS)


# Languages


def test_french_texts() -> None:
    """Results in French have French texts."""
    content = side_view_results(make_runner(), language="fr")["analysis_content"]
    assert content["head"]["texts"]["title"] == "Tête"


@pytest.mark.parametrize("language", ["de", "zh", "ko", "pt", "es", "it", "ja", "tlh", ""])
def test_a_language_without_texts_gets_english(language: str) -> None:
    """Documented and unknown languages without texts."""
    runner = make_runner()
    assert side_view_results(runner, language=language) == side_view_results(runner, language="en")
    assert find_exercises(EXERCISE_KEYS, language=language) == find_exercises(EXERCISE_KEYS, language="en")


@few_examples
@given(runners)
def test_no_french_text_is_missing(runner: Runner) -> None:
    """Every text differs from the English one."""
    french, english = (side_view_results(runner, language=language) for language in ("fr", "en"))
    assert french["running_styles"]["summary"] != english["running_styles"]["summary"]
    for one, other in zip(scored(french), scored(english), strict=True):
        assert one["texts"]["position"] != other["texts"]["position"]
        assert one["texts"]["recap"] != other["texts"]["recap"]


def test_the_language_changes_only_texts() -> None:
    """Numbers and keys are the same in every language."""
    french, english = (side_view_results(make_runner(), language=language) for language in ("fr", "en"))
    assert french["total_score"] == english["total_score"]
    assert [item["texts"]["search_key"] for item in scored(french)] == [
        item["texts"]["search_key"] for item in scored(english)
    ]


# Assumptions


def test_assumptions_about_responses_are_listed() -> None:
    """Each path in a response with an assumption is in the table once."""
    listed = [it for it in BEHAVIORS if it.topic.startswith(("results.", "calculated.", "raw_data"))]
    assert len({it.topic for it in listed}) == len(listed) > 10
    assert all(it.description and it.source == "assumed" for it in listed)
