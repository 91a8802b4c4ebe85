"""Does a wheel work where there is no compiler and no network, and do type checkers understand it?

Installs it into a new virtual environment, then runs the demo there with an empty PATH and, where the system lets us,
in a network namespace that has no interface. Then mypy and pyright, both strict, check ``typed.py`` against the
installed package, and the program runs. Run as ``python tests/wheel/check.py dist/facedex-….whl``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

LIMIT_MB = 40
PROGRAM = Path(__file__).with_name("typed.py")
CHECKERS = ("mypy>=1.13", "pyright[nodejs]>=1.1.390")
NEEDED = (
    "facedex/py.typed",
    "facedex/_core.pyi",
    "facedex/http/web/index.html",
    "facedex/http/web/app.js",
    "facedex/http/web/style.css",
    "facedex/_pyinstaller/hook-facedex.py",
    "facedex/packs/data/base/blazeface_back.onnx",
    "facedex/packs/data/base/mobilefacenet_sirius.onnx",
    "facedex/packs/data/base/LICENSE.apache-2.0",
    "facedex/packs/data/base/LICENSE.human-models",
    "facedex/packs/data/base/NOTICE",
    "facedex/packs/data/classic/dlib_resnet.onnx",
    "facedex/packs/data/classic/onet.onnx",
    "facedex/packs/data/classic/LICENSE.mtcnn",
)
FORBIDDEN = ("shape_predictor", ".dat", ".lz4", ".pkl")


def main() -> None:
    wheel = Path(sys.argv[1]).resolve()
    size = wheel.stat().st_size / 1e6
    print(f"{wheel.name}: {size:.1f} MB, limit {LIMIT_MB} MB")
    if size >= LIMIT_MB:
        raise SystemExit("the wheel is too large")
    names = zipfile.ZipFile(wheel).namelist()
    unwanted = [name for name in names if any(part in name for part in FORBIDDEN) or name.startswith("facedex_build")]
    if unwanted:
        raise SystemExit(f"the wheel holds what it must not: {unwanted}")
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise SystemExit(f"the wheel lacks {missing}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        venv.create(home / "env", with_pip=True)
        python = home / "env" / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", wheel], check=True)
        command = [str(python), "-m", "facedex", "demo", "--json", "--out", str(home / "out")]
        isolated = ["/usr/bin/unshare", "--net", "--map-root-user"]
        offline = subprocess.run([*isolated, "/bin/true"], capture_output=True, check=False).returncode == 0
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "FACEDEX"))}
        environment["PATH"] = str(home / "nothing")
        done = subprocess.run(
            [*(isolated if offline else []), *command],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"the demo failed from the wheel:\n{done.stdout}\n{done.stderr}")
        json.loads(done.stdout)
        check_types(python, home)
    print(f"the demo ran from the wheel without a compiler{' and without a network' if offline else ''}")


def check_types(python: Path, folder: Path) -> None:
    """Check the types of a user's program against the installed package, and run it."""
    program = shutil.copy(PROGRAM, folder)  # away from this project's configuration of the checkers
    subprocess.run([python, "-m", "pip", "install", "--quiet", *CHECKERS], check=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MYPY"))}
    for command in (["-m", "mypy", "--strict"], ["-m", "pyright", "--pythonpath", str(python)], []):
        done = subprocess.run(
            [python, *command, program], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command) or 'typed.py'} failed:\n{done.stdout}\n{done.stderr}")
    print("a typed program passes mypy --strict and pyright, and runs")


if __name__ == "__main__":
    main()
