"""Make the weights of the built-in pack in a source tree, without building anything else."""

from __future__ import annotations

import sys

from facedex_build import weights
from facedex_build.backend import ROOT
from facedex_build.errors import BuildError


def main() -> int:
    """Make the weights, tell each file, return the exit status."""
    try:
        for path in weights.make(ROOT):
            sys.stdout.write(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes\n")
    except BuildError as error:
        sys.stderr.write(f"facedex: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
