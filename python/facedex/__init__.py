"""facedex: register, recognize, verify and delete people by their faces.

Names load on first use, so that ``import facedex`` costs next to nothing.
"""

TYPE_CHECKING = False  # the import of typing would cost ten times this module

if TYPE_CHECKING:
    from . import errors as errors
    from . import evaluate as evaluate
    from . import packs as packs
    from . import people as people
    from . import transfer as transfer
    from ._core import Attributes as Attributes
    from ._core import Face as Face
    from ._core import Liveness as Liveness
    from ._core import Quality as Quality
    from .engine import Engine as Engine
    from .engine import acompare as acompare
    from .engine import compare as compare
    from .engine import decode as decode
    from .errors import FacedexError as FacedexError
    from .gallery import Gallery as Gallery
    from .gallery.policy import Enrolment as Enrolment
    from .records import Deletion as Deletion
    from .records import Person as Person
    from .records import Photo as Photo
    from .records import Registration as Registration
    from .results import Analysis as Analysis
    from .results import Candidate as Candidate
    from .results import Comparison as Comparison
    from .results import FoundFace as FoundFace
    from .results import Recognition as Recognition
    from .results import Verification as Verification
    from .thresholds import FMR as FMR
    from .thresholds import FPIR as FPIR
    from .thresholds import Decision as Decision

_HOMES = {
    "Attributes": "._core",
    "Face": "._core",
    "Liveness": "._core",
    "Quality": "._core",
    "acompare": ".engine",
    "compare": ".engine",
    "decode": ".engine",
    "Engine": ".engine",
    "FacedexError": ".errors",
    "Gallery": ".gallery",
    "Enrolment": ".gallery.policy",
    "Deletion": ".records",
    "Person": ".records",
    "Photo": ".records",
    "Registration": ".records",
    "Analysis": ".results",
    "Candidate": ".results",
    "Comparison": ".results",
    "FoundFace": ".results",
    "Recognition": ".results",
    "Verification": ".results",
    "Decision": ".thresholds",
    "FMR": ".thresholds",
    "FPIR": ".thresholds",
}

__version__ = "0.1.0"
__all__ = [*_HOMES, "__version__", "errors", "evaluate", "packs", "people", "transfer"]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in ("errors", "evaluate", "packs", "people", "transfer"):
        return import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
