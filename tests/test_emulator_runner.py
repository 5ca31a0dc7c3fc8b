"""The made-up runner: one body, one gait, and answers that agree with both."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ochy_async.emulator.runner import (
    ASSUMED,
    EXERCISE_KEYS,
    LANDMARKS,
    Runner,
    back_view_calculated,
    back_view_results,
    exercises,
    raw_data,
    runner_of,
    side_view_calculated,
    side_view_results,
)

SIDES = ("left", "right")
SIDE_PARTS = {"arm", "back_cycle", "foot", "forward_cycle", "head", "trunk"}
BACK_PARTS = {"knee_adduction", "pelvic_drop", "pronation"}
FPS = 240.0
WIDTH, HEIGHT = 1080, 1920
GROUND = 0.9 * HEIGHT
PIXEL = 0.3  # what rounding every coordinate to a tenth can do to a distance
RUNNER = 1.25 * WIDTH  # pixels that a runner's height takes in this picture

paces = st.tuples(st.integers(2, 9), st.integers(0, 59)).map(lambda pair: f"{pair[0]:02}:{pair[1]:02}")
runners = st.builds(
    runner_of,
    st.binary(max_size=16),
    height=st.floats(1.2, 2.2),
    weight=st.floats(30, 150),
    pace=st.none() | paces,
)
any_runner = pytest.mark.parametrize(
    "runner", [runner_of(bytes([n]), height=1.6 + n / 20, weight=70, pace=None) for n in range(6)]
)

ANSWERS: dict[str, Callable[[Runner], Any]] = {
    "side results": lambda runner: side_view_results(runner, language="en"),
    "back results": lambda runner: back_view_results(runner, language="en", full_body=True),
    "side calculated": side_view_calculated,
    "back calculated": lambda runner: back_view_calculated(runner, full_body=True),
    "side raw data": lambda runner: film(runner, "side_view", seconds=0.1),
    "back raw data": lambda runner: film(runner, "back_view", seconds=0.1),
}
every_answer = pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)


def a_runner(seed: bytes = b"seed", pace: str | None = "05:00") -> Runner:
    return runner_of(seed, height=1.75, weight=70, pace=pace)


def film(runner: Runner, view: str = "side_view", *, fps: float = FPS, seconds: float = 2.0) -> dict[str, Any]:
    return raw_data(runner, view=view, frames_per_second=fps, seconds=seconds, width=WIDTH, height=HEIGHT)


clip = cache(film)  # many tests look at the same clips


def course(answer: dict[str, Any], landmark: str, axis: str) -> list[float]:
    """One coordinate of one landmark over all frames, in their order."""
    return [frame[landmark][axis] for frame in answer["frames"].values()]


def soles(answer: dict[str, Any], side: str) -> list[float]:
    """The y of the lowest point of a foot over all frames."""
    return [
        max(heel, toe)
        for heel, toe in zip(
            course(answer, f"{side}_heel", "y"), course(answer, f"{side}_foot_index", "y"), strict=True
        )
    ]


def likeness(one: list[float], other: list[float]) -> float:
    """The correlation of two courses."""
    mean_one, mean_other = sum(one) / len(one), sum(other) / len(other)
    first, second = [value - mean_one for value in one], [value - mean_other for value in other]
    together = sum(a * b for a, b in zip(first, second, strict=True))
    return together / (math.hypot(*first) * math.hypot(*second))


def scored(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Every scored item of a side or a back view."""
    items = answer["analysis_content"].values()
    return [leaf for item in items for leaf in ([item] if "texts" in item else item.values())]


# The runner


@every_answer
def test_same_seed_same_runner(answer: Callable[[Runner], Any]) -> None:
    """A seed fixes the runner and every answer about it."""
    assert a_runner() == a_runner()
    assert answer(a_runner()) == answer(a_runner())


@every_answer
def test_other_seed_other_runner(answer: Callable[[Runner], Any]) -> None:
    """Another seed is somebody else, even at the same pace."""
    assert answer(a_runner(b"one")) != answer(a_runner(b"two"))


@given(runners)
def test_step_length_is_speed_over_cadence(runner: Runner) -> None:
    """Speed, cadence and step length are one fact said in three numbers."""
    assert runner.step_length == pytest.approx(runner.speed * 60 / runner.cadence)


@given(runners)
def test_contact_and_flight_make_a_step(runner: Runner) -> None:
    """A step is a contact and a flight, and in running there is always a flight."""
    assert runner.contact_time + runner.flight_time == pytest.approx(60_000 / runner.cadence)
    assert runner.flight_time > 0
    assert runner.duty_factor == pytest.approx(runner.contact_time / (2 * 60_000 / runner.cadence))


@given(st.binary(max_size=16))
def test_speed_is_drawn_when_no_pace_is_given(seed: bytes) -> None:
    """Without a pace the speed is that of a jog to a brisk run."""
    assert 2.4 <= a_runner(seed, None).speed <= 4.5


@pytest.mark.parametrize(("pace", "speed"), [("05:00", 1000 / 300), ("03:20", 5.0), ("08:20", 2.0)])
def test_pace_fixes_the_speed(pace: str, speed: float) -> None:
    """A pace handed in is a speed, whoever runs it."""
    assert a_runner(b"one", pace).speed == a_runner(b"two", pace).speed == pytest.approx(speed)


@pytest.mark.parametrize("pace", ["", "5:00", "05-00", "05:0", "00:00", "0a:00", "05:00:00", "-1:00"])
def test_pace_that_cannot_be_run_is_refused(pace: str) -> None:
    """A pace is MM:SS and more than nothing."""
    with pytest.raises(ValueError, match="MM:SS"):
        a_runner(pace=pace)


@pytest.mark.parametrize(("height", "weight"), [(0, 70), (-1.7, 70), (1.7, 0), (math.nan, 70)])
def test_body_that_cannot_be_is_refused(height: float, weight: float) -> None:
    """A body has a height and a weight."""
    with pytest.raises(ValueError, match="above 0"):
        runner_of(b"", height=height, weight=weight, pace=None)


@pytest.mark.parametrize("pace", ["00:01", "01:00", "99:99", None])
@pytest.mark.parametrize("height", [0.2, 1.75, 175])
@every_answer
def test_nonsense_is_answered_all_the_same(answer: Callable[[Runner], Any], pace: str | None, height: float) -> None:
    """The API takes odd bodies and paces, so the model answers them with finite numbers."""
    json.dumps(answer(runner_of(b"odd", height=height, weight=70, pace=pace)), allow_nan=False)


def test_legs_are_alike_yet_not_the_same() -> None:
    """The two legs of a runner differ a little."""
    runner = a_runner()
    assert runner.left != runner.right
    assert runner.left.pronation == pytest.approx(runner.right.pronation, abs=3)


# Results


@settings(max_examples=50, deadline=None)
@given(runners)
def test_scores_lie_between_0_and_1(runner: Runner) -> None:
    """Every score is a share."""
    for answer in (
        side_view_results(runner, language="en"),
        back_view_results(runner, language="en", full_body=True),
    ):
        scores = [item["score_number"] for item in scored(answer)]
        assert all(0 <= score <= 1 for score in (*scores, answer["total_score"]))


@pytest.mark.parametrize(
    ("elbow", "score"), [(83, 1.0), (78, 0.75), (88, 0.75), (74, 0.5), (92, 0.5), (73, 0.45), (60, 0.0)]
)
def test_score_falls_from_good_over_okay(elbow: float, score: float) -> None:
    """An elbow of 83° is best; the edge of good is worth 0.75, the edge of okay 0.5."""
    content = side_view_results(attrs.evolve(a_runner(), elbow_angle=elbow), language="en")["analysis_content"]
    assert content["arm"]["score_number"] == pytest.approx(score, abs=0.002)


@pytest.mark.parametrize(("pronation", "score"), [(2.75, 1.0), (5.5, 0.75), (6.5, 0.625), (7.5, 0.5), (13, 0.0)])
def test_score_knows_ranges_that_only_adjoin(pronation: float, score: float) -> None:
    """The okay range of pronation begins where good ends, at 5.5°, and there the score goes on without a jump."""
    runner = attrs.evolve(a_runner(), left=attrs.evolve(a_runner().left, pronation=pronation))
    content = back_view_results(runner, language="en", full_body=False)["analysis_content"]
    assert content["pronation"]["left"]["score_number"] == pytest.approx(score)


def test_side_view_has_its_parts() -> None:
    """A side view scores six parts, tells how the foot lands, and names a style."""
    answer = side_view_results(a_runner(), language="en")
    assert set(answer) == {"analysis_content", "running_styles", "total_score"}
    assert set(answer["analysis_content"]) == SIDE_PARTS
    assert set(answer["running_styles"]) == {"title", "animal", "percentage", "summary"}
    foot = answer["analysis_content"]["foot"]
    assert foot["foot_strike_pattern"] == a_runner().strike_pattern
    assert foot["texts"]["overstride_title"] == "Overstride"


def test_ranges_of_the_sheet_are_kept() -> None:
    """Okay encloses good for the arms and adjoins it for the back cycle."""
    content = side_view_results(a_runner(), language="en")["analysis_content"]
    ranges = {part: (content[part]["range_good"], content[part]["range_okay"]) for part in ("arm", "back_cycle")}
    assert ranges == {"arm": ([78, 88], [74, 92]), "back_cycle": ([0, 98], [98, 107])}


@pytest.mark.parametrize(("full_body", "parts"), [(True, BACK_PARTS), (False, {"pronation"})])
def test_half_a_body_leaves_only_pronation(full_body: bool, parts: set[str]) -> None:
    """Without the full body a back view shows pronation only, of both legs."""
    content = back_view_results(a_runner(), language="en", full_body=full_body)["analysis_content"]
    assert set(content) == parts
    assert all(tuple(item) == SIDES for item in content.values())
    cycle = back_view_calculated(a_runner(), full_body=full_body)["gait_cycle"]
    assert all(set(cycle[side]["stance_mean"]) == parts for side in SIDES)


def test_back_view_texts_have_their_keys() -> None:
    """Each leg's texts say which side they are about, and explain."""
    content = back_view_results(a_runner(), language="en", full_body=True)["analysis_content"]
    for side in SIDES:
        texts = content["pelvic_drop"][side]["texts"]
        assert set(texts) == {"explanation", "position", "recap", "search_key", "side", "title"}
        assert texts["side"] == side


@settings(max_examples=50, deadline=None)
@given(runners)
def test_search_keys_of_texts_have_exercises(runner: Runner) -> None:
    """Whatever key an analysis names, exercises can be asked for it."""
    for answer in (
        side_view_results(runner, language="en"),
        back_view_results(runner, language="en", full_body=True),
    ):
        assert {item["texts"]["search_key"] for item in scored(answer)} <= set(EXERCISE_KEYS)


# Languages


def test_french_is_spoken() -> None:
    """French texts are French."""
    content = side_view_results(a_runner(), language="fr")["analysis_content"]
    assert content["head"]["texts"]["title"] == "Tête"


@pytest.mark.parametrize("language", ["de", "zh", "ko", "pt", "es", "it", "ja", "tlh", ""])
def test_language_without_texts_falls_back_to_english(language: str) -> None:
    """A language that nobody has written is answered in English."""
    runner = a_runner()
    assert side_view_results(runner, language=language) == side_view_results(runner, language="en")
    assert exercises(EXERCISE_KEYS, language=language) == exercises(EXERCISE_KEYS, language="en")


@settings(max_examples=50, deadline=None)
@given(runners)
def test_french_lacks_no_text(runner: Runner) -> None:
    """Whatever is found in a runner can be said in French, and is not said in English."""
    french, english = (side_view_results(runner, language=language) for language in ("fr", "en"))
    assert french["running_styles"]["summary"] != english["running_styles"]["summary"]
    for one, other in zip(scored(french), scored(english), strict=True):
        assert one["texts"]["position"] != other["texts"]["position"]
        assert one["texts"]["recap"] != other["texts"]["recap"]


def test_language_changes_words_only() -> None:
    """Numbers and keys are the same in every language."""
    french, english = (side_view_results(a_runner(), language=language) for language in ("fr", "en"))
    assert french["total_score"] == english["total_score"]
    assert [item["texts"]["search_key"] for item in scored(french)] == [
        item["texts"]["search_key"] for item in scored(english)
    ]


# Calculated data


@pytest.mark.parametrize(
    ("speed", "packed"), [(2.123, 7.511), (1000 / 330, 5.3), (1000 / 300, 5.0), (1000 / 299.95, 5.0), (4.0, 4.1)]
)
def test_pace_is_packed_as_minutes_and_seconds(speed: float, packed: float) -> None:
    """7 min 51.1 s per km is the number 7.511, as in the vendor's sample."""
    runner = attrs.evolve(a_runner(), speed=speed)
    assert side_view_calculated(runner)["metrics"]["pace_min_per_km"] == packed


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 9), st.integers(0, 59))
def test_pace_handed_in_comes_back(minutes: int, seconds: int) -> None:
    """What was said to be the pace is the pace of the answer."""
    metrics = side_view_calculated(a_runner(pace=f"{minutes:02}:{seconds:02}"))["metrics"]
    assert metrics["pace_min_per_km"] == pytest.approx(minutes + seconds / 100)


@settings(max_examples=50, deadline=None)
@given(runners)
def test_metrics_agree_after_rounding(runner: Runner) -> None:
    """Contact and flight make a step within 1 ms; speed and cadence make a step length within 1 cm."""
    metrics = side_view_calculated(runner)["metrics"]
    step = 60_000 / metrics["step_frequency_steps_per_min"]
    assert metrics["ground_contact_time_ms"] + metrics["time_of_flight_ms"] == pytest.approx(step, abs=1)
    assert metrics["speed_meter_per_second"] * step / 1000 == pytest.approx(metrics["step_length_meter"], abs=0.01)


@any_runner
def test_results_and_calculated_data_tell_one_story(runner: Runner) -> None:
    """The total score, the style and the overstride are the same in both answers."""
    results, calculated = side_view_results(runner, language="en"), side_view_calculated(runner)
    assert results["total_score"] == calculated["total_score"]
    assert results["running_styles"] == calculated["running_styles"]
    letters = {"score_good": "FootG", "score_okay": "FootO", "score_bad": "FootB"}
    key = results["analysis_content"]["foot"]["texts"]["search_key"]
    assert letters[calculated["overstride"]["score"]] == key


def test_joint_angles_are_inner_angles_of_both_sides() -> None:
    """Five joints, two sides, and no angle beyond the straight one."""
    angles = side_view_calculated(a_runner())["joint_angles"]
    assert set(angles) == {"ankle", "knee", "hip", "shoulder", "elbow"}
    for sides in angles.values():
        assert tuple(sides) == SIDES
        assert all(0 <= angle["min"] <= angle["mean"] <= angle["max"] <= 180 for angle in sides.values())


def test_feet_land_in_turn() -> None:
    """Landings are told step by step, left and right in turn."""
    landings = side_view_calculated(a_runner())["foot_landing"]
    assert [landing["step"] for landing in landings] == list(range(1, len(landings) + 1))
    assert all(one["side"] != other["side"] for one, other in pairwise(landings))
    assert {landing["landing"] for landing in landings} <= {"rearfoot", "midfoot", "forefoot"}


@any_runner
def test_stance_mean_is_the_mean_of_the_steps(runner: Runner) -> None:
    """Step-by-step data average to the stance mean that stands beside them."""
    for leg in back_view_calculated(runner, full_body=True)["gait_cycle"].values():
        for part, mean in leg["stance_mean"].items():
            steps = [step[part] for step in leg["steps"]]
            assert sum(steps) / len(steps) == pytest.approx(mean, abs=0.011)


# Raw data


@pytest.mark.parametrize("view", ["side_view", "back_view"])
def test_every_frame_has_every_landmark(view: str) -> None:
    """Frames are keyed by consecutive numbers from 0, and each holds all 33 landmarks."""
    frames = clip(a_runner(), view, fps=30, seconds=1.5)["frames"]
    assert list(frames) == [str(number) for number in range(45)]
    assert len(LANDMARKS) == 33
    assert all(tuple(frame) == LANDMARKS for frame in frames.values())


def test_landmarks_are_mediapipes() -> None:
    """Names and order are MediaPipe's, from the nose to the tip of the right foot."""
    assert (LANDMARKS[0], LANDMARKS[7], LANDMARKS[11], LANDMARKS[23], LANDMARKS[32]) == (
        "nose",
        "left_ear",
        "left_shoulder",
        "left_hip",
        "right_foot_index",
    )


def test_video_information_repeats_the_clip() -> None:
    """The clip's own facts come back with the frames."""
    information = clip(a_runner(), fps=60, seconds=1)["video_input_information"]
    assert information == {"width": WIDTH, "height": HEIGHT, "fps": 60, "duration": 1, "frame_count": 60}


def test_clip_without_frames_has_none() -> None:
    """Nothing filmed, nothing seen."""
    assert clip(a_runner(), fps=0, seconds=0)["frames"] == {}


def test_unknown_view_is_refused() -> None:
    """There is no camera but at the side and at the back."""
    with pytest.raises(ValueError, match="side_view, back_view"):
        clip(a_runner(), "front_view")


@pytest.mark.parametrize("view", ["side_view", "back_view"])
@any_runner
def test_runner_stays_in_the_picture(runner: Runner, view: str) -> None:
    """Every landmark of every frame lies in the picture."""
    for frame in clip(runner, view, fps=60, seconds=1)["frames"].values():
        assert all(0 < place["x"] < WIDTH and 0 < place["y"] < HEIGHT for place in frame.values())


@pytest.mark.parametrize(
    ("upper", "lower"), [("hip", "knee"), ("knee", "ankle"), ("ankle", "foot_index"), ("shoulder", "elbow")]
)
@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_segments_keep_their_length(runner: Runner, side: str, upper: str, lower: str) -> None:
    """Seen from the side, bones do not stretch."""
    lengths = [
        math.dist(*((frame[f"{side}_{end}"]["x"], frame[f"{side}_{end}"]["y"]) for end in (upper, lower)))
        for frame in clip(runner, seconds=1)["frames"].values()
    ]
    assert max(lengths) - min(lengths) < PIXEL


@pytest.mark.parametrize("view", ["side_view", "back_view"])
@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_planted_foot_stays_on_the_ground(runner: Runner, side: str, view: str) -> None:
    """For the share of the time that the duty factor names, and in unbroken contacts, a foot is on the ground."""
    strides = 120 / runner.cadence
    planted = [abs(sole - GROUND) < PIXEL for sole in soles(clip(runner, view, seconds=4 * strides), side)]
    landings = sum(later and not earlier for earlier, later in pairwise(planted))
    assert landings in (3, 4, 5)  # four strides; the clip may begin or end on a landing
    assert sum(planted) / len(planted) == pytest.approx(runner.duty_factor, abs=0.02)


@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_no_foot_sinks_into_the_ground(runner: Runner, side: str) -> None:
    """A swinging foot clears the ground."""
    assert max(soles(clip(runner), side)) < GROUND + PIXEL


@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_planted_foot_goes_back_with_the_belt(runner: Runner, side: str) -> None:
    """While the foot lies flat it moves backwards at the runner's speed."""
    answer = clip(runner)
    toes, heels = course(answer, f"{side}_foot_index", "y"), course(answer, f"{side}_heel", "y")
    way = course(answer, f"{side}_foot_index", "x")
    flat = [abs(toe - GROUND) < PIXEL and abs(heel - GROUND) < PIXEL for toe, heel in zip(toes, heels, strict=True)]
    steps = [way[at] - way[at + 1] for at in range(len(way) - 1) if flat[at] and flat[at + 1]]
    assert steps
    assert sum(steps) / len(steps) == pytest.approx(runner.speed * RUNNER / runner.height / FPS, rel=0.05)


@pytest.mark.parametrize("landmark", ["knee", "ankle", "foot_index", "wrist"])
@any_runner
def test_left_and_right_are_half_a_stride_apart(runner: Runner, landmark: str) -> None:
    """What the right side does, the left side did half a stride before."""
    answer = clip(runner)
    left, right = (course(answer, f"{side}_{landmark}", "x") for side in SIDES)
    half = round(FPS * 60 / runner.cadence)
    assert likeness(left[:-half], right[half:]) > 0.98
    assert likeness(left, right) < 0


@pytest.mark.parametrize("side", SIDES)
@any_runner
def test_arms_swing_against_their_legs(runner: Runner, side: str) -> None:
    """When a knee comes forward, the hand of its side goes back."""
    answer = clip(runner)
    assert likeness(course(answer, f"{side}_wrist", "x"), course(answer, f"{side}_knee", "x")) < -0.5


@any_runner
def test_hips_bob_twice_a_stride(runner: Runner) -> None:
    """The middle of the hips rises and falls once in each step."""
    strides = 4
    answer = clip(runner, seconds=strides * 120 / runner.cadence)
    left, right = (course(answer, f"{side}_hip", "y") for side in SIDES)
    heights = [one + other for one, other in zip(left, right, strict=True)]
    middle = (max(heights) + min(heights)) / 2
    crossings = sum((one > middle) != (other > middle) for one, other in pairwise(heights))
    assert crossings == pytest.approx(2 * 2 * strides, abs=1)


# Exercises


@pytest.mark.parametrize("key", EXERCISE_KEYS)
def test_each_key_has_exercises(key: str) -> None:
    """A good part gets one exercise, any other two."""
    assert len(exercises([key], language="en")) == (1 if key.endswith("G") else 2)


def test_unknown_key_gives_nothing() -> None:
    """Keys that no text names are passed over."""
    assert exercises(["Nonsense", "headg", ""], language="en") == []


def test_exercise_is_given_once() -> None:
    """Keys that share an exercise do not double it."""
    titles = [exercise["title"] for exercise in exercises(["HeadG", "HeadB", "HeadG"], language="en")]
    assert titles == ["Chin tucks", "Run with your eyes on the horizon"]


def test_exercise_shape() -> None:
    """An exercise says what to do, how hard, how often, and shows it at an address that leads nowhere."""
    for exercise in exercises(EXERCISE_KEYS, language="fr"):
        assert exercise["kind"] == "exercise"
        assert exercise["exercise_format"] in {"duration", "repetition"}
        assert ("effort_per_rep" in exercise) == (exercise["exercise_format"] == "duration")
        assert all(link.startswith("https://media.example.invalid/") for link in exercise["media"].values())


# All of it


@every_answer
def test_answers_are_json(answer: Callable[[Runner], Any]) -> None:
    """An answer survives the wire unchanged."""
    said = answer(a_runner())
    assert json.loads(json.dumps(said, allow_nan=False)) == said


def test_assumptions_are_told() -> None:
    """Each assumption has a place and a sentence, and no place is told twice."""
    places = [place for place, _ in ASSUMED]
    assert len(places) == len(set(places))
    assert all(place and told for place, told in ASSUMED)
