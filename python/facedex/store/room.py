"""Which faces stay when a person has more than allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..errors import PersonFullError
from ..options import WhenFull
from .rows import NewFace


class Room(NamedTuple):
    """How many faces a person may have, and what makes room."""

    max_faces: int
    when_full: WhenFull

    def made(self, stored: Sequence[Any], new: Sequence[NewFace]) -> tuple[list[int], list[bool]]:
        """Choose what stays.

        Parameters
        ----------
        stored : sequence
            Rows with id, det_score and quality, oldest first.
        new : sequence of NewFace

        Returns
        -------
        gone : list of int
            Ids of the stored faces that make room.
        kept : list of bool
            Whether each new face is kept.

        Raises
        ------
        PersonFullError
            When no new face is kept.
        """
        number = len(stored) + len(new)
        places = list(range(number))
        excess = number - self.max_faces
        if excess <= 0:
            return [], [True] * len(new)
        if self.when_full == "worst":
            worth = _worth([*stored, *new])
            places.sort(key=lambda place: (worth[place], place))
        out = set(places[:excess])
        kept = [place not in out for place in range(len(stored), number)]
        if self.when_full == "refuse" or not any(kept):
            raise self.full(number)
        return [row.id for place, row in enumerate(stored) if place in out], kept

    def full(self, number: int) -> PersonFullError:
        """Make the refusal of a face that would be that many."""
        remedies = {
            "refuse": "; delete one first",
            "worst": ", and each of these is better; use a clearer picture",
            "oldest": ", the newest; give fewer pictures at once",
        }
        return PersonFullError(
            f"the person would have {number} faces, at most {self.max_faces} are kept{remedies[self.when_full]}",
            measured=number,
            limit=self.max_faces,
        )


def _worth(faces: Sequence[Any]) -> list[float]:
    """Tell by what faces are compared: the quality where it is known of all, else the certainty of the detector."""
    qualities = [face.quality for face in faces]
    known = [quality for quality in qualities if quality is not None]
    return known if len(known) == len(faces) else [face.det_score for face in faces]
