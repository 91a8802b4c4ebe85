"""The result of an import, item by item."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import DuplicatePersonError, FacedexError, RegistrationError, StoreError
from ..options import ImportKind
from ..plain import record_to_dict
from ..records import Duplicate, Outlier, PersonId, Registration, Rejection


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The result of an import.

    Attributes
    ----------
    kind : {"folder", "pickles", "array", "faiss", "gallery"}
        What was imported.
    people : int
        Number of people who were registered, or had faces added or replaced.
    faces, photos : int
        Number of faces stored, and of photos stored from a gallery file.
    skipped : tuple of (str or int)
        People left as stored, with ``on_existing="skip"``.
    rejected : tuple of Rejection
        Each file, line or person that was not imported, and why.
    unnamed : tuple of str
        Folders missing in the file of names; they were imported without a name.
    warnings : tuple of (str or int, Duplicate)
        People with a face that resembles another person.
    outliers : tuple of (str or int, Outlier)
        People with a face that does not resemble their others.
    """

    kind: ImportKind
    people: int
    faces: int
    photos: int = 0
    skipped: tuple[PersonId, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    unnamed: tuple[str, ...] = ()
    warnings: tuple[tuple[PersonId, Duplicate], ...] = ()
    outliers: tuple[tuple[PersonId, Outlier], ...] = ()

    to_dict = record_to_dict

    def __repr__(self) -> str:
        return (
            f"ImportReport({self.kind}: {self.people} people, {self.faces} faces, {self.photos} photos, "
            f"{len(self.skipped)} skipped, {len(self.rejected)} rejected)"
        )


class Tally:
    """Counts during an import.

    Parameters
    ----------
    kind : str
    """

    def __init__(self, kind: ImportKind) -> None:
        self._kind: ImportKind = kind
        self._people = 0
        self._faces = 0
        self._photos = 0
        self._skipped: list[PersonId] = []
        self._rejected: list[Rejection] = []
        self._warnings: list[tuple[PersonId, Duplicate]] = []
        self._outliers: list[tuple[PersonId, Outlier]] = []

    def reject(self, text: str, error: Exception) -> None:
        """Add something that was not imported."""
        self._rejected.append(Rejection(len(self._rejected), text, error))

    def add_answer(self, person_id: PersonId, what: str, answer: Registration | FacedexError) -> None:
        """Add the result of one person.

        Raises
        ------
        StoreError
            When the database failed: it would fail for the next person too.
        """
        if isinstance(answer, StoreError):
            raise answer
        if isinstance(answer, DuplicatePersonError):
            message = f"somebody is registered as {person_id!r}; choose on_existing='skip', 'add' or 'replace'"
            self.reject(what, DuplicatePersonError(message, person_id=person_id))
        elif isinstance(answer, RegistrationError) and answer.rejected:
            for rejection in answer.rejected:
                self.reject(rejection.text, rejection.error)
        elif isinstance(answer, FacedexError):
            self.reject(what, answer)
        elif answer.skipped:
            self.skip_person(person_id)
        else:
            self.add_person(len(answer.faces))
            for rejection in answer.rejected:
                self.reject(rejection.text, rejection.error)
            self._warnings += [(person_id, warning) for warning in answer.warnings]
            self._outliers += [(person_id, outlier) for outlier in answer.outliers]

    def skip_person(self, person_id: PersonId) -> None:
        """Add a person who was left as stored."""
        self._skipped.append(person_id)

    def add_person(self, faces: int, photos: int = 0) -> None:
        """Count a person who was imported."""
        self._people += 1
        self._faces += faces
        self._photos += photos

    def report(self, unnamed: tuple[str, ...] = ()) -> ImportReport:
        """Return the result."""
        return ImportReport(
            self._kind,
            self._people,
            self._faces,
            self._photos,
            tuple(self._skipped),
            tuple(self._rejected),
            unnamed,
            tuple(self._warnings),
            tuple(self._outliers),
        )
