"""The choices and options of the verbs, declared once.

A choice is a `Literal`; HTTP schemas, options of the command line and the settings use the same aliases. Options that
travel together are frozen dataclasses, which refuse wrong values when they are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, cast

from .checks import as_int, check_choice, check_flag, check_int
from .errors import ArgumentError
from .thresholds import Rule, parse_rule

OnExisting = Literal["error", "add", "replace", "skip"]
"""What a registration does when the id is in use: refuse, add faces, replace those stored, or leave all as stored."""

EvaluationProtocol = Literal["folder", "lfw", "bin", "ijb", "scface"]
"""How the pictures of an evaluation are listed."""

ImportKind = Literal["folder", "pickles", "array", "faiss", "gallery"]
"""What an import reads: photos, pickled encodings, a numpy array, a faiss index, or a gallery file."""

FacePolicy = Literal["one", "largest"]
"""A picture must show exactly one face, or its largest face is used."""

LivenessMode = Literal["off", "advisory", "required"]
"""Whether faces are judged for being live, and whether one that is not live is refused."""

LivenessOption = bool | LivenessMode
"""`LivenessMode` as the verbs accept it: False is "off", True is "advisory"."""

Rendition = Literal["thumbnail", "original"]
"""A stored photo: the square around the face, at most 224 pixels wide, or the picture without its metadata."""

KeptPhotos = Literal["none", "thumbnail", "original"]
"""Which photos of the registered pictures a gallery stores."""

Duplicates = Literal["warn", "refuse", "ignore"]
"""What a registration does with a face that resembles a person with another id."""

WhenFull = Literal["oldest", "worst", "refuse"]
"""Which face makes room: the oldest, that of the lowest quality (of equals the oldest), or none."""

WithoutPhoto = Literal["stop", "leave"]
"""Whether a migration stops while people would be left without a template, or leaves them behind."""

AuditLevel = Literal["changes", "all", "none"]
"""What the audit records: changes of the gallery, also recognitions and verifications, or nothing.

With "none", a chain that was begun before still records deletions; it could not be checked without them.
"""

Score = Literal["fused", "closest", "mean"]
"""How similar a face is to a person: to the normalised mean of the person's embeddings, to the closest, or on average.

With "fused" a search compares with one template a person. "mean" averages the similarities to the closest few faces.
"""

IndexMethod = Literal["auto", "exact", "ivf", "hnsw"]
"""How faces are searched; "auto" is exact as long as that keeps the time limit, then "ivf"."""

_ALL_FACES = 2**31 - 1  # of a person, or fewer


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """How similar a face is to a person.

    Attributes
    ----------
    score : {"fused", "closest", "mean"}
    best_of : int or None
        With "mean", how many closest faces are averaged; None is all.
    """

    score: Score = "fused"
    best_of: int | None = None

    def __post_init__(self) -> None:
        check_choice("score", self.score, Score)
        if self.best_of is not None:
            object.__setattr__(self, "best_of", check_int("best_of", self.best_of, minimum=1))
            if self.best_of > 1 and self.score != "mean":
                raise ArgumentError(f"best_of={self.best_of} averages, which is score='mean', not {self.score!r}")

    @classmethod
    def choose(cls, score: Score | None, best_of: int | None, variable: str | None) -> ScoreOptions:
        """Return what is given; where no score is given, the mean if `best_of` is above 1, else the environment's."""
        if score is not None:
            return cls(score, best_of)
        if best_of is not None and check_int("best_of", best_of, minimum=1) > 1:
            return cls("mean", best_of)
        chosen = variable or "fused"
        check_choice("FACEDEX_SCORE", chosen, Score)
        return cls(cast("Score", chosen), best_of)

    @property
    def faces(self) -> int:
        """How many closest rows of a person a search averages."""
        return 1 if self.score != "mean" else _ALL_FACES if self.best_of is None else self.best_of


class PersonDetails(TypedDict, total=False):
    """What may be stored about a person besides the id; None clears it in an update, and is ignored elsewhere."""

    name: str | None
    email: str | None
    info: dict[str, Any] | None
    retain_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeOptions:
    """What the engine looks for in a picture; the names are those of its parameters.

    Attributes
    ----------
    min_face : int or None
        Smallest face, pixels; None is a fraction of the picture.
    max_faces : int or None
        Maximum number of faces; the largest are kept.
    liveness : bool or {"off", "advisory", "required"}
    quality, attributes : bool
    """

    min_face: int | None = None
    max_faces: int | None = None
    liveness: LivenessOption = False
    quality: bool = False
    attributes: bool = False

    def __post_init__(self) -> None:
        for name in ("min_face", "max_faces"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, as_int(name, value))
        for name in ("quality", "attributes"):
            object.__setattr__(self, name, check_flag(name, getattr(self, name)))
        if not isinstance(self.liveness, str):
            judged: object = self.liveness  # None is off
            accepted = 'False, True, "advisory" or "required"'
            object.__setattr__(self, "liveness", judged is not None and check_flag("liveness", judged, accepted))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizeOptions:
    """Options of `Gallery.recognize`.

    Attributes
    ----------
    k : int
        Candidates for each face, from 1.
    threshold : float, FMR, FPIR, str or None
        Instead of the gallery's: a similarity, [-1, 1], inclusive, or a rate.
    analyze : AnalyzeOptions
    """

    k: int = 1
    threshold: Rule | str | None = None
    analyze: AnalyzeOptions = AnalyzeOptions()

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_int("k", self.k, minimum=1))
        if self.threshold is not None:
            object.__setattr__(self, "threshold", parse_rule(self.threshold))

    @property
    def rule(self) -> Rule | None:
        """The threshold after it was parsed."""
        return None if self.threshold is None else parse_rule(self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """Options of `Gallery.verify`.

    Attributes
    ----------
    threshold : float, FMR, FPIR, str or None
        Instead of the gallery's: a similarity, [-1, 1], inclusive, or a rate.
    faces : {"one", "largest"}
    analyze : AnalyzeOptions
    """

    threshold: Rule | str | None = None
    faces: FacePolicy = "one"
    analyze: AnalyzeOptions = AnalyzeOptions()

    def __post_init__(self) -> None:
        check_choice("faces", self.faces, FacePolicy)
        if self.threshold is not None:
            object.__setattr__(self, "threshold", parse_rule(self.threshold))

    @property
    def rule(self) -> Rule | None:
        """The threshold after it was parsed."""
        return None if self.threshold is None else parse_rule(self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterOptions:
    """Options of `Gallery.register`.

    Attributes
    ----------
    on_existing : {"error", "add", "replace", "skip"}
    faces : {"one", "largest"}
    min_face : int or None
        Smallest face, pixels; None is a fraction of the picture.
    strict : bool
        Whether a face that resembles another person is refused, whatever the gallery's rules are.
    """

    on_existing: OnExisting = "error"
    faces: FacePolicy = "one"
    min_face: int | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        check_choice("on_existing", self.on_existing, OnExisting)
        check_choice("faces", self.faces, FacePolicy)
        object.__setattr__(self, "strict", check_flag("strict", self.strict))
