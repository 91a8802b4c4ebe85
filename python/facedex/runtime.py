"""The ONNX Runtime library: found in its Python package, which is not imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from .config import settings
from .errors import RuntimeUnavailableError


def runtime_library() -> Path:
    """Find the ONNX Runtime library in its Python package, without importing the package.

    Returns
    -------
    pathlib.Path
        ``FACEDEX_ONNXRUNTIME`` where it is set.

    Raises
    ------
    RuntimeUnavailableError
        The package is not installed, or too old to carry the library.
    """
    named = settings().onnxruntime
    if named is not None:
        return named
    remedy = "pip install 'onnxruntime>=1.20.1'"
    spec = find_spec("onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeUnavailableError(f"the package onnxruntime is not installed; {remedy}")
    package = Path(next(iter(spec.submodule_search_locations)))  # a frozen application has the library alone
    for pattern in ("libonnxruntime.so.1*", "libonnxruntime*.dylib", "onnxruntime.dll"):
        for library in sorted((package / "capi").glob(pattern)):
            return library
    raise RuntimeUnavailableError(f"the package onnxruntime in {package} carries no library; {remedy}")
