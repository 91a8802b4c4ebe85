"""Make the weights of the built-in packs in a source tree, without building anything else.

PYTHONPATH=python python -m facedex_build            make them
PYTHONPATH=python python -m facedex_build fetch      fetch their sources, with visible progress
PYTHONPATH=python python -m facedex_build left-out   name the missing packs
"""

from __future__ import annotations

import argparse
import sys

from facedex_build import npm, weights
from facedex_build.backend import ROOT
from facedex_build.errors import BuildError, FetchError


def main() -> int:
    """Run the step of the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m facedex_build", description="the weights of the built-in packs")
    parser.add_argument("step", nargs="?", choices=("make", "fetch", "left-out"), default="make")
    try:
        {"make": _make, "fetch": _fetch, "left-out": _left_out}[parser.parse_args().step]()
    except BuildError as error:
        sys.stderr.write(f"facedex: {error}\n")
        return 1
    return 0


def _make() -> None:
    for path in weights.make(ROOT):
        sys.stdout.write(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes\n")


def _fetch() -> None:
    files = weights.files_to_fetch(ROOT)
    if npm.requirements(files):
        size = sum(package.size for package in {file.package for file in files}) // 10**6
        sys.stderr.write(f"facedex: npm is not installed; pip installs {npm.WHEEL}, which fetches {size} MB, once\n")
        return
    try:
        npm.fetch(files)
    except FetchError as error:  # the build that follows decides whether this is an error
        sys.stderr.write(f"facedex: {error}\n")


def _left_out() -> None:
    for name in weights.missing_packs(ROOT):
        sys.stdout.write(
            f"facedex was built without its pack {name}, whose networks could not be fetched; "
            "make weights tries again\n"
        )


if __name__ == "__main__":
    sys.exit(main())
