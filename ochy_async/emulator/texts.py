"""The texts of results and exercises in English and French; any other language gets English.

Invariant: pure, and only texts depend on the language: no number, key or choice does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ResultTexts", "texts_for"]


@frozen
class ResultTexts:
    """All texts of one language."""

    overstride: str
    parts: Mapping[str, tuple[str, str, str, str]]  # title; texts for below, in and above the good range
    explanations: Mapping[str, str]
    recaps: Mapping[str, str]  # by verdict
    styles: Mapping[str, tuple[str, str]]  # title, summary
    exercises: Mapping[str, str]

    def title(self, part: str) -> str:
        """The title of a scored part."""
        return self.parts[part][0]

    def position(self, part: str, position: int) -> str:
        """The text for a part that is below (0), in (1) or above (2) its good range."""
        return self.parts[part][1 + position]


def texts_for(language: str) -> ResultTexts:
    """The texts of a language, such as `fr`."""
    return _TEXTS.get(language, _ENGLISH)


_ENGLISH = ResultTexts(
    overstride="Overstride",
    parts={
        "arm": ("Arms", "Elbows bent tightly", "Elbows bent well", "Elbows rather open"),
        "back_cycle": (
            "Back knee angle at foot strike",
            "Heel folded tightly",
            "Heel comes up well",
            "Heel stays low behind you",
        ),
        "foot": ("Foot strike", "Foot lands behind the knee", "Foot lands under the knee", "Foot lands too far ahead"),
        "forward_cycle": ("Forward cycle", "Knee stays low", "Knee comes forward well", "Knee comes very high"),
        "head": ("Head", "Head tipped back", "Head in line with the trunk", "Head bent forward"),
        "trunk": ("Trunk", "Trunk too upright", "Trunk leaning slightly forward", "Trunk leaning too far"),
        "knee_adduction": ("Knee alignment", "Knee points outwards", "Knee stays in line", "Knee falls inwards"),
        "pelvic_drop": ("Pelvis", "Free hip rises", "Pelvis stays level", "Free hip drops"),
        "pronation": ("Pronation", "Foot rolls outwards", "Foot rolls in moderately", "Foot rolls in too far"),
    },
    explanations={
        "knee_adduction": "How far the knee moves inwards while the foot is on the ground.",
        "pelvic_drop": "How far the free side of the pelvis sinks while the other leg stands.",
        "pronation": "How far the foot rolls inwards while it is on the ground.",
    },
    recaps={
        "good": "Keep it up.",
        "okay": "Close to the good range: a little work will do.",
        "bad": "Outside the usual range: make it a point of your training.",
    },
    styles={
        "gazelle": ("Gazelle", "You spend much time in the air and little on the ground."),
        "wolf": ("Wolf", "You share your time evenly between ground and air."),
        "bear": ("Bear", "You stay close to the ground with long, steady contacts."),
    },
    exercises={
        "bi_reinforcement": "Biceps curls",
        "arm_swing_seated": "Seated arm swing",
        "heel_flicks": "Heel flicks",
        "hamstring_bridge": "Hamstring bridge",
        "quick_feet": "Quick feet",
        "calf_raise": "Calf raises",
        "high_knees": "High knees",
        "hip_flexor_march": "Hip flexor march",
        "chin_tuck": "Chin tucks",
        "gaze_run": "Run with your eyes on the horizon",
        "plank": "Plank",
        "wall_lean": "Wall lean",
        "side_lying_lift": "Side-lying leg lifts",
        "single_leg_squat": "Single-leg squats",
        "hip_hike": "Hip hikes",
        "side_plank": "Side plank",
        "short_foot": "Short foot",
        "towel_curl": "Towel curls",
    },
)

_FRENCH = ResultTexts(
    overstride="Attaque trop en avant",
    parts={
        "arm": ("Bras", "Coudes trop fermés", "Coudes bien fléchis", "Coudes plutôt ouverts"),
        "back_cycle": (
            "Angle du genou arrière à la pose du pied",
            "Talon très replié",
            "Le talon remonte bien",
            "Le talon reste bas",
        ),
        "foot": ("Pose du pied", "Pied posé derrière le genou", "Pied posé sous le genou", "Pied posé trop en avant"),
        "forward_cycle": ("Cycle avant", "Le genou reste bas", "Le genou monte bien", "Le genou monte très haut"),
        "head": ("Tête", "Tête en arrière", "Tête alignée avec le tronc", "Tête penchée en avant"),
        "trunk": ("Tronc", "Tronc trop droit", "Tronc légèrement penché en avant", "Tronc trop penché"),
        "knee_adduction": ("Alignement du genou", "Genou vers l'extérieur", "Genou aligné", "Genou vers l'intérieur"),
        "pelvic_drop": ("Bassin", "La hanche libre monte", "Bassin stable", "La hanche libre s'affaisse"),
        "pronation": ("Pronation", "Pied vers l'extérieur", "Pronation modérée", "Pronation trop marquée"),
    },
    explanations={
        "knee_adduction": "Déplacement du genou vers l'intérieur pendant que le pied est au sol.",
        "pelvic_drop": "Affaissement du côté libre du bassin pendant que l'autre jambe est en appui.",
        "pronation": "Bascule du pied vers l'intérieur pendant qu'il est au sol.",
    },
    recaps={
        "good": "Continuez ainsi.",
        "okay": "Proche de la bonne plage : un peu de travail suffira.",
        "bad": "Hors de la plage habituelle : à travailler à l'entraînement.",
    },
    styles={
        "gazelle": ("Gazelle", "Vous passez beaucoup de temps en l'air et peu au sol."),
        "wolf": ("Loup", "Vous partagez votre temps entre le sol et l'air."),
        "bear": ("Ours", "Vous restez près du sol, avec des appuis longs et réguliers."),
    },
    exercises={
        "bi_reinforcement": "Renforcement des biceps",
        "arm_swing_seated": "Balancement des bras assis",
        "heel_flicks": "Talons-fesses",
        "hamstring_bridge": "Pont pour les ischio-jambiers",
        "quick_feet": "Pieds rapides",
        "calf_raise": "Montées sur pointes",
        "high_knees": "Montées de genoux",
        "hip_flexor_march": "Marche avec fléchisseurs de hanche",
        "chin_tuck": "Rentrés de menton",
        "gaze_run": "Courir le regard à l'horizon",
        "plank": "Planche",
        "wall_lean": "Inclinaison contre un mur",
        "side_lying_lift": "Levées de jambe sur le côté",
        "single_leg_squat": "Squats sur une jambe",
        "hip_hike": "Élévations de hanche",
        "side_plank": "Planche latérale",
        "short_foot": "Pied court",
        "towel_curl": "Serviette avec les orteils",
    },
)

_TEXTS: Mapping[str, ResultTexts] = {"en": _ENGLISH, "fr": _FRENCH}
