"""Who is taken into a gallery, from which pictures, and the photos that are kept of them.

What a verb returned is committed; what it raised left no trace. Which photos are kept is chosen when the gallery is
opened; `facedex.gallery.photos` makes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..coroutines import make_coroutine
from ..errors import FacedexError
from ..inputs import ImageInput
from ..options import FacePolicy, KeptPhotos, OnExisting, Rendition
from ..records import Deletion, Person, PersonId, Photo, Registration
from ..search import SearchOptions
from ..store import Database, Journal
from .custody import Custody
from .photos import Renditions
from .policy import Enrolment
from .registration import Progress, Registrar, Rules, enrolee

if TYPE_CHECKING:
    from ..engine import Engine
    from .registration import Entry


class Album(Custody):
    """The people of a gallery, how they are taken in, and their photos."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        *,
        name: str,
        threshold: float,
        index: SearchOptions,
        key: bytes | None,
        journal: Journal,
        enrolment: Enrolment,
        photos: KeptPhotos,
    ) -> None:
        super().__init__(database, engine.pack, name=name, index=index, key=key, journal=journal)
        self._renditions = Renditions(photos, engine.max_pixels)
        self._registrar = Registrar(engine, self._store, self._search, enrolment, threshold, self._renditions)

    def create(
        self,
        person_id: PersonId,
        *,
        name: str | None = None,
        email: str | None = None,
        info: dict[str, Any] | None = None,
        retain_until: datetime | None = None,
    ) -> Person:
        """Enter a person without a face, who is recognised only after a registration.

        Parameters
        ----------
        person_id : str or int
        name, email, info, retain_until
            As in `register`.

        Returns
        -------
        Person

        Raises
        ------
        DuplicatePersonError
            When the id is taken.
        """
        with self._life.call():
            return self._store.create(
                person_id, {"name": name, "email": email, "info": info, "retain_until": retain_until}
            )

    def register(
        self,
        person_id: PersonId,
        images: ImageInput | Iterable[ImageInput],
        *,
        name: str | None = None,
        email: str | None = None,
        info: dict[str, Any] | None = None,
        retain_until: datetime | None = None,
        on_existing: OnExisting = "error",
        faces: FacePolicy = "one",
        min_face: int | None = None,
        strict: bool = False,
    ) -> Registration:
        """Register a person from one picture or several.

        Parameters
        ----------
        person_id : str or int
            Your own key, at most 255 characters, kept and returned as given; 7 and "7" are the same person.
        images : ImageInput or iterable of ImageInput
            The error of a single picture is raised; of several, those that are refused are listed in the result.
        name, email : str, optional
        info : dict, optional
            Free data that JSON can hold.
        retain_until : datetime, optional
            When `purge` is to delete the person, with a time zone.
        on_existing : {"error", "add", "replace"}
            When the id is taken: refuse, add the faces, or put them in place of the stored ones. With "add" and
            "replace", name, email, info and retain_until are changed where given.
        faces : {"one", "largest"}
            A picture must show exactly one face, or its largest is taken.
        min_face : int, optional
            Smallest face that is looked for, pixels; by default a fraction of the picture.
        strict : bool
            Refuse a face that resembles a person of another id, whatever the gallery's rules say.

        Returns
        -------
        Registration

        Raises
        ------
        DuplicatePersonError
            When the id is taken and `on_existing` is "error".
        DuplicateFaceError
            When a face resembles another person and that is refused; nothing is stored.
        EnrolmentError
            When a single picture's face is not good enough for the gallery's rules.
        PersonFullError
            When the person has as many faces as allowed and none makes room.
        ImageError, FaceError
            When a single picture is refused.
        RegistrationError
            When all of several pictures are refused.
        """
        with self._life.call():
            rules = Rules(on_existing, faces, min_face, strict)
            who = enrolee(person_id, images, name=name, email=email, info=info, retain_until=retain_until)
            return self._registrar.register(who, rules)

    def register_many(
        self,
        people: Iterable[Entry],
        *,
        on_existing: OnExisting = "error",
        faces: FacePolicy = "one",
        min_face: int | None = None,
        strict: bool = False,
        progress: Progress | None = None,
    ) -> list[Registration | FacedexError]:
        """Register many people, each in a transaction of its own.

        Parameters
        ----------
        people : iterable of (person_id, images), (person_id, images, name) or (person_id, images, details)
            Details are a dict with any of name, email, info, retain_until.
        on_existing, faces, min_face, strict
            As in `register`.
        progress : callable, optional
            Called with the number of people done and of all.

        Returns
        -------
        list of Registration or FacedexError
            One for each person, in order.
        """
        with self._life.call():
            rules = Rules(on_existing, faces, min_face, strict)
            return self._registrar.register_many(list(people), rules, self._giving_way(progress))

    def rebuild_person(
        self, person_id: PersonId, *, faces: FacePolicy = "one", min_face: int | None = None
    ) -> Registration:
        """Make the templates of a person anew from all kept originals; nobody else is touched.

        Parameters
        ----------
        person_id : str or int
        faces : {"one", "largest"}
            A photo must show exactly one face, or its largest is taken.
        min_face : int, optional
            Smallest face that is looked for, pixels; by default a fraction of the picture.

        Returns
        -------
        Registration
            The new faces; ``replaced`` are those that were registered from these photos before. Photos without a
            usable face stay, and are listed in ``rejected``. A ``source`` is the place of a photo among the originals
            in `photos`.

        Raises
        ------
        UnknownPersonError
            When nobody of that id is registered.
        RegistrationError
            When no original is kept, or none of them shows a usable face; nothing is changed.
        """
        with self._life.call():
            return self._registrar.rebuild(person_id, Rules("add", faces, min_face))

    def photos(self, person_id: PersonId) -> list[Photo]:
        """List the photos that are kept of a person, oldest first, or raise `UnknownPersonError`."""
        with self._life.call():
            return self._store.photos(person_id)

    def photo_count(self) -> int:
        """Tell how many photos are kept of all people."""
        with self._life.call():
            return self._store.photo_count()

    def photo(self, photo_id: int) -> Photo:
        """Return what is known of a photo, or raise `UnknownPhotoError`."""
        with self._life.call():
            return self._store.photo(photo_id)

    def photo_bytes(self, photo_id: int) -> bytes:
        """Return the file of a photo.

        Parameters
        ----------
        photo_id : int
            As in `Photo.photo_id`.

        Returns
        -------
        bytes
            Of the photo's ``media_type``.

        Raises
        ------
        UnknownPhotoError
            When no photo of that id is stored.
        PhotoIntegrityError
            When it is not what was stored.
        """
        with self._life.call():
            return self._store.photo_bytes(photo_id)

    def add_photo(
        self,
        person_id: PersonId,
        image: ImageInput,
        *,
        filename: str | None = None,
        rendition: Rendition | None = None,
    ) -> Photo:
        """Keep a picture of a registered person without looking for faces; `rebuild_person` does that.

        Parameters
        ----------
        person_id : str or int
        image : ImageInput
        filename : str, optional
            By default that of the path.
        rendition : {"thumbnail", "original"}, optional
            By default what the gallery keeps.

        Returns
        -------
        Photo

        Raises
        ------
        UnknownPersonError
            When nobody of that id is registered.
        ArgumentError
            When the gallery keeps no photos and no rendition is given.
        PhotoTooLargeError
            When the original has more than 32 MiB.
        ImageError
            When the picture is refused.
        """
        with self._life.call():
            self._store.require(person_id)
            return self._store.add_photo(person_id, self._renditions.whole(image, rendition, filename))

    def delete_photo(self, photo_id: int) -> Deletion:
        """Delete a photo and the faces that were registered from it; the person stays, even without a face.

        Parameters
        ----------
        photo_id : int

        Returns
        -------
        Deletion
            What was removed.

        Raises
        ------
        UnknownPhotoError
            When no photo of that id is stored.
        """
        with self._life.call():
            self._search.forget()
            return replace(self._store.delete_photo(photo_id), wiped=self._wiped())

    acreate = make_coroutine(create)
    aregister = make_coroutine(register)
    aregister_many = make_coroutine(register_many)
    arebuild_person = make_coroutine(rebuild_person)
    aphotos = make_coroutine(photos)
    aphoto_count = make_coroutine(photo_count)
    aphoto = make_coroutine(photo)
    aphoto_bytes = make_coroutine(photo_bytes)
    aadd_photo = make_coroutine(add_photo)
    adelete_photo = make_coroutine(delete_photo)
