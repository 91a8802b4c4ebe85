"""Checks that a gallery is consistent, repairs it, and rebuilds its search index.

None of it needs the networks of the gallery's pack: the database is compared with itself and with the snapshots of the
search. A face whose template is damaged cannot be recognized or restored; with ``repair`` it is removed, and the report
names the person, who can then be registered again. A person whose id or name is damaged is reported and not repaired:
restore a backup, or delete and register the person again. All other repairs lose nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ..config import settings
from ..errors import ArgumentError
from ..options import Score, ScoreOptions
from ..plain import record_to_dict
from ..records import Outlier, PersonId
from ..search import LOCAL, Difference, RemoteSearch, Search, SearchOptions, Snapshots, open_search
from ..store import (
    Database,
    Feed,
    KeyInput,
    Problems,
    Store,
    check_gallery,
    count_registered,
    faces_by_person,
    key_of,
    packs_of,
    repair_gallery,
)
from .lifetime import Progress
from .outliers import OutlierFinder

_TRIES = 5  # comparisons of a gallery that changes meanwhile


@dataclass(frozen=True, slots=True)
class Finding:
    """An inconsistency.

    Attributes
    ----------
    where : {"file", "face", "person", "photo", "count", "feed", "audit", "snapshot", "search"}
    text : str
        What is wrong.
    mended : bool
        Whether it was repaired; a face or photo is repaired by removing it.
    """

    where: Literal["file", "face", "person", "photo", "count", "feed", "audit", "snapshot", "search"]
    text: str
    mended: bool

    to_dict = record_to_dict


@dataclass(frozen=True, slots=True)
class FsckReport:
    """The inconsistencies of a gallery.

    Attributes
    ----------
    gallery : str
        Its name.
    location : str
        Where its database is.
    faces : int
        How many are stored now.
    snapshots : int
        How many snapshots of the search are on this machine now.
    findings : tuple of Finding
        Empty when the gallery is consistent.
    outliers : tuple of (str or int, Outlier)
        People with a face that does not resemble their others, probably a photo of somebody else: nothing that is
        inconsistent, but worth a look.
    """

    gallery: str
    location: str
    faces: int
    snapshots: int
    findings: tuple[Finding, ...]
    outliers: tuple[tuple[PersonId, Outlier], ...] = ()

    to_dict = record_to_dict

    @property
    def ok(self) -> bool:
        """Whether the gallery is consistent now."""
        return all(finding.mended for finding in self.findings)


def fsck(
    location: str | os.PathLike[str],
    *,
    name: str = "default",
    key: KeyInput | None = None,
    search: str | None = None,
    score: Score | None = None,
    repair: bool = False,
    progress: Progress | None = None,
) -> FsckReport:
    """Check a gallery's database, and its search: the snapshots on this machine, or a search elsewhere.

    Parameters
    ----------
    location : str or PathLike
        As `facedex.Gallery.open` accepts it.
    name : str
        The gallery's name.
    key : bytes or callable, optional
        Of an encrypted gallery; without it that of the environment.
    search : str, optional
        As `facedex.Gallery.open` accepts it; a search elsewhere has no snapshots, and is compared itself.
    score : {"fused", "closest", "mean"}, optional
        As `facedex.Gallery.open` accepts it; a search elsewhere is compared with the rows that this score needs.
    repair : bool
        Repair what can be repaired.
    progress : callable, optional
        Called with the number of checked faces and of all.

    Returns
    -------
    FsckReport

    Raises
    ------
    StoreError
        When the database cannot be read at all; then a backup must be restored.
    GalleryKeyError
        When the key is not the gallery's.
    """
    with _feed(location, name, key) as feed:
        store = Store(feed)
        _, faces = store.counts()
        problems = check_gallery(feed, _count_progress(faces, progress))
        audit = store.check_audit()
        repairing = repair and problems.repairable
        findings = _findings(problems, store, repairing)
        if audit.reason is not None:
            findings.append(Finding("audit", f"the audit: {audit.reason}", False))
        snapshots = [Snapshots(feed, SearchOptions(fused=fused)) for fused in (False, True)]
        if repairing:
            repair_gallery(feed, problems)
            snapshots[0].remove_all()  # they are of the history before
            _local(feed, score, fresh=True).save()
        elif not (problems.faces or problems.count):  # otherwise no index can be built to compare with
            differences = _compare_local(feed, snapshots)
            findings += [Finding("snapshot", f"{one.path.name}: {one.reason}", repair) for one in differences]
            if repair and differences:
                for one in differences:
                    snapshots[0].remove(one.path)
                _local(feed, score).save()
        where = settings().search if search is None else search
        if where != LOCAL and (repairing or not (problems.faces or problems.count)):
            findings += _compare_elsewhere(feed, where, score, repair)
        files = sum(len(one.files()) for one in snapshots)
        intact = repairing or not (problems.faces or problems.count)
        outliers = _find_outliers(feed, store) if intact else ()
        return FsckReport(name, feed.database.location, store.counts()[1], files, tuple(findings), outliers)


def rebuild(
    location: str | os.PathLike[str],
    *,
    name: str = "default",
    key: KeyInput | None = None,
    search: str | None = None,
    score: Score | None = None,
    progress: Progress | None = None,
) -> int:
    """Rebuild the search index of a gallery from its database, and write a new snapshot.

    Parameters
    ----------
    location, name, key, search, score
        As in `fsck`.
    progress : callable, optional
        Called with the number of indexed faces, or of people where a person is one template, and of all.

    Returns
    -------
    int
        How many faces the index has.

    Raises
    ------
    StoreError
        When the database cannot be read.
    SearchError
        When a snapshot cannot be removed.
    """
    with _feed(location, name, key) as feed:
        options = _search_options(settings().search if search is None else search, score)
        faces = packs_of(feed)[0]
        on_progress = _count_progress(count_registered(feed) if options.fused else faces, progress)
        built = open_search(feed, options, fresh=True, progress=on_progress)
        built.save()
        built.close()
        return faces


@contextmanager
def _feed(location: str | os.PathLike[str], name: str, key: KeyInput | None) -> Iterator[Feed]:
    database = Database(location, create=False)
    try:
        feed = Feed(database, name)
        if feed.stored_pack is None:
            raise ArgumentError(f"there is no gallery {name!r} in {database.place}; give the name of one (name=...)")
        feed.bind(feed.stored_pack, key_of(key))
        yield feed
    finally:
        database.close()


def _find_outliers(feed: Feed, store: Store) -> tuple[tuple[PersonId, Outlier], ...]:
    """Find the faces that do not resemble the others of their person, by the pack's figures."""
    finder = OutlierFinder.of_pin(feed.pin)
    found = [one for _, face_ids, vectors in faces_by_person(feed) for one in finder.find(face_ids, vectors)]
    owners = store.owners(outlier.face_id for outlier in found)
    named = [(owners[outlier.face_id], outlier) for outlier in found if outlier.face_id in owners]
    return tuple((owner.person_id, outlier) for owner, outlier in named if owner.intact)


def _local(feed: Feed, score: Score | None, *, fresh: bool = False) -> Search:
    return open_search(feed, _search_options(LOCAL, score), fresh=fresh)


def _search_options(where: str, score: Score | None) -> SearchOptions:
    return SearchOptions(where=where, fused=ScoreOptions.choose(score, None, settings().score).score == "fused")


def _compare_local(feed: Feed, snapshots: Sequence[Snapshots]) -> list[Difference]:
    """Compare the snapshots; again when the gallery changed meanwhile, because two states were compared then."""
    for _ in range(_TRIES):
        before = feed.head()
        differences = [difference for one in snapshots for difference in one.check()]
        if not differences or feed.head() == before:
            break
    return differences


def _compare_elsewhere(feed: Feed, where: str, score: Score | None, repair: bool) -> list[Finding]:
    """Compare a search that is not in this process."""
    search = open_search(feed, _search_options(where, score))
    try:
        reason = None
        for _ in range(_TRIES):
            before = feed.head()
            reason = search.difference() if isinstance(search, RemoteSearch) else None
            if reason is None or feed.head() == before:
                break
    finally:
        search.close()
    if reason is None:
        return []
    if repair:
        open_search(feed, _search_options(where, score), fresh=True).close()
    return [Finding("search", f"the search {search.place}: {reason}", repair)]


def _findings(problems: Problems, store: Store, repairing: bool) -> list[Finding]:
    found = [Finding("file", text, False) for text in problems.file]
    owners = store.owners(problems.faces)
    for face_id, what in problems.faces.items():
        owner = owners[face_id]
        whose = repr(owner.person_id) if owner.intact else "an unknown person"
        gone = "; the face was removed" if repairing else ""
        found.append(Finding("face", f"face {face_id} of {whose}: {what}{gone}", repairing))
    found += [Finding("face", f"face {face_id}: {what}", repairing) for face_id, what in problems.rows.items()]
    found += [Finding("face", what, repairing) for what in problems.other_packs.values()]
    found += [Finding("person", what, False) for what in problems.names.values()]
    found += [Finding("person", what, repairing) for what in problems.people.values()]
    found += [Finding("photo", what, repairing) for what in [*problems.photos.values(), *problems.links.values()]]
    if problems.count is not None:
        recorded, stored = problems.count
        found.append(Finding("count", f"{stored} faces are stored, the gallery records {recorded}", repairing))
    if problems.feed is not None:
        found.append(Finding("feed", f"the feed of changes: {problems.feed}", repairing))
    return found


def _count_progress(number: int, progress: Progress | None) -> Callable[[int], object] | None:
    return None if progress is None else lambda done: progress(done, number)
