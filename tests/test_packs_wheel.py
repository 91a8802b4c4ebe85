"""Packs as wheels: built, installed by pip offline, found, opened, tampered with, removed."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import facedex
from facedex import Engine, packs, people
from facedex.cli import app
from facedex.errors import (
    ArgumentError,
    LicenseError,
    ManifestError,
    PackFolderError,
    PackNameError,
    PackNotFoundError,
    WeightsDigestError,
    WeightsMissingError,
    WeightsUnverifiedError,
)
from facedex.packs.find import installed_packs

CLASSIC = packs.find("classic")
MOBILE = ("yunet/yunet_n_dynamic.onnx", "mobilefacenet/mobilefacenet_foamliu_128d.onnx")
PACKAGE = Path(facedex.__file__).parents[1]
runner = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("FACEDEX_MIRROR", "FACEDEX_ACCEPT_LICENSE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FACEDEX_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def own(folder: Path, name: str = "mine", *changes: tuple[str, str]) -> Path:
    """A custom pack: the classic one under another name, its files next to the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in CLASSIC.folder.glob("*.onnx"):
        shutil.copy(file, folder / file.name)
    text = CLASSIC.manifest.read_text("utf-8").replace('name = "classic"', f'name = "{name}"')
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    manifest = folder / f"{name}.toml"
    manifest.write_text(text, "utf-8")
    return manifest


@dataclass(frozen=True)
class Machine:
    """A virtual environment with facedex, without a network, and with a folder for packs of its own."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "env" / "bin" / "python"

    @property
    def site(self) -> Path:
        return next((self.folder / "env" / "lib").glob("python*/site-packages"))

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("FACEDEX", "PYTHON", "PIP"))}
        return {**kept, "FACEDEX_HOME": str(self.folder / "home"), "PYTHONDONTWRITEBYTECODE": "1"}

    def pip(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "pip", "--python", self.python, "--quiet", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)
        assert done.returncode == 0, done.stderr

    def install(self, wheel: Path) -> None:
        self.pip("install", "--no-index", "--no-deps", wheel)

    def run(self, program: str) -> Any:
        """The JSON that a program prints there; `packs`, `Engine` and `Gallery` are imported."""
        head = "import json\nfrom facedex import Engine, Gallery, errors, packs, people\n"
        done = subprocess.run(
            [*isolated(), self.python, "-c", head + program],
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.folder,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def isolated() -> list[str]:
    """Start a program in a network without an interface, where the system lets us."""
    command = ["unshare", "--net", "--map-root-user"]
    try:
        allowed = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    return command if allowed else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "machine")
    venv.create(made.folder / "env", with_pip=False, symlinks=True)
    there = f"{PACKAGE}\n{sysconfig.get_path('purelib')}\n"
    (made.site / "facedex_of_the_tests.pth").write_text(there, "utf-8")
    return made


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of this process, into which wheels can be unpacked."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a custom pack, for reading only."""
    folder = tmp_path_factory.mktemp("wheel")
    return packs.wheel(own(folder / "own"), folder)


def unpack(wheel: Path, site: Path) -> Path:
    zipfile.ZipFile(wheel).extractall(site)
    return wheel


# What a wheel is.


def test_a_wheel_has_the_layout_that_installers_expect(tmp_path: Path) -> None:
    made = packs.wheel(own(tmp_path / "own", "My-pack.2"), tmp_path / "dist", version="1.2")
    assert made == tmp_path / "dist" / "facedex_pack_my_pack_2-1.2-py3-none-any.whl"
    archive = zipfile.ZipFile(made)
    names = archive.namelist()
    described = "facedex_pack_my_pack_2-1.2.dist-info"
    assert names[-1] == f"{described}/RECORD"
    rows = list(csv.reader(archive.read(names[-1]).decode().splitlines()))
    assert [name for name, _, _ in rows] == names
    for name, digest, size in rows[:-1]:
        data = archive.read(name)
        kind, _, value = digest.partition("=")
        assert (kind, int(size)) == ("sha256", len(data))
        assert urlsafe_b64decode(value + "=") == hashlib.sha256(data).digest()
    assert rows[-1][1:] == ["", ""]
    points = archive.read(f"{described}/entry_points.txt").decode()
    assert points == "[facedex.packs]\nMy-pack.2 = facedex_pack_my_pack_2\n"
    said = message_from_bytes(archive.read(f"{described}/METADATA"))
    assert (said["Name"], said["Version"], said["Requires-Dist"]) == ("facedex-pack-my-pack-2", "1.2", None)
    assert said["License-Expression"] == "MIT AND CC0-1.0"
    assert said.get_all("License-File") == ["NOTICE.txt", "MIT.txt"]
    notice = archive.read(f"{described}/licenses/NOTICE.txt").decode()
    for file in packs.state(tmp_path / "own" / "My-pack.2.toml").info.files:
        for word in (file.name, file.sha256, file.licence, file.licence_source, file.source, file.trained_on):
            assert word is not None
            assert word in notice
    assert all(entry.external_attr >> 16 == 0o644 for entry in archive.infolist())
    assert [path.name for path in made.parent.iterdir()] == [made.name]  # nothing unfinished is left


def test_the_same_pack_gives_the_same_bytes(tmp_path: Path) -> None:
    manifest = own(tmp_path / "own")
    first = packs.wheel(manifest, tmp_path / "a").read_bytes()
    for file in manifest.parent.iterdir():
        os.utime(file, (0, 0))
    assert packs.wheel(manifest, tmp_path / "b").read_bytes() == first


def test_licence_files_next_to_a_manifest_are_included(tmp_path: Path) -> None:
    manifest = own(tmp_path / "own", "mine", ('licence = "MIT"', 'licence = "Our own"'))
    (manifest.parent / "LICENSE.ours").write_text("Ours.")
    archive = zipfile.ZipFile(packs.wheel(manifest, tmp_path))
    said = message_from_bytes(archive.read("facedex_pack_mine-0.1.0.dist-info/METADATA"))
    assert said["License-Expression"] == "LicenseRef-Our-own AND CC0-1.0"
    assert said.get_all("License-File") == ["NOTICE.txt", "LICENSE.ours"]
    assert archive.read("facedex_pack_mine-0.1.0.dist-info/licenses/LICENSE.ours") == b"Ours."


def test_files_that_come_with_facedex_are_left_out(tmp_path: Path) -> None:
    manifest = own(tmp_path / "own", "mine", ('name = "onet.onnx"', 'name = "onet.onnx"\npack = "classic"'))
    (manifest.parent / "onet.onnx").unlink()
    names = zipfile.ZipFile(packs.wheel(manifest, tmp_path)).namelist()
    assert "facedex_pack_mine/rnet.onnx" in names
    assert "facedex_pack_mine/onet.onnx" not in names


# What has no wheel.


def test_only_a_pack_that_can_be_opened_here_has_a_wheel(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissingError, match="facedex packs get mobile"):
        packs.wheel("mobile", tmp_path)
    with pytest.raises(PackNotFoundError):
        packs.wheel("nowhere", tmp_path)
    with pytest.raises(ArgumentError, match="'classic' comes with facedex"):
        packs.wheel("classic", tmp_path)
    with pytest.raises(PackNameError, match="already used by a pack of facedex"):
        packs.wheel(own(tmp_path / "own", "mobile"), tmp_path)
    with pytest.raises(ManifestError, match=r'pack name "\.\." must be'):
        packs.wheel(own(tmp_path / "dots", ".."), tmp_path)
    manifest = own(tmp_path / "mine")
    for version in ("", "one", "1.0/../..", "1 0", "1.0-2", "1.0\n"):
        with pytest.raises(ArgumentError, match="version must be numbers with dots"):
            packs.wheel(manifest, tmp_path, version=version)
    (tmp_path / "file").write_text("")
    with pytest.raises(PackFolderError, match="cannot write"):
        packs.wheel(manifest, tmp_path / "file" / "dist")
    assert not list(tmp_path.rglob("*.whl"))


def test_a_file_that_was_changed_is_not_packed(tmp_path: Path) -> None:
    manifest = own(tmp_path / "own")
    tamper(manifest.parent / "onet.onnx")
    with pytest.raises(WeightsDigestError, match=r"onet\.onnx.*expected SHA-256 b3581b.*, found "):
        packs.wheel(manifest, tmp_path / "dist")
    assert list((tmp_path / "dist").iterdir()) == []


def tamper(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


# Installed by pip, elsewhere.


@pytest.mark.shared
@pytest.mark.slow
def test_mobile_is_installed_recognises_and_is_removed(tmp_path: Path, shared: Path, machine: Machine) -> None:
    mirror = tmp_path / "mirror" / "mobile"
    mirror.mkdir(parents=True)
    for place in MOBILE:
        shutil.copy(shared / "models" / place, mirror)
    packs.get("mobile", mirror=(tmp_path / "mirror").as_uri())
    made = packs.wheel("mobile", tmp_path / "dist")
    assert made.name == f"facedex_pack_mobile-{facedex.__version__}-py3-none-any.whl"
    assert made.stat().st_size < 5_000_000
    assert machine.run("print(json.dumps(packs.state('mobile').ready))") is False
    machine.install(made)
    told = machine.run(
        "seen = {}\n"
        "with Gallery.open('people.db', pack='mobile') as gallery:\n"
        "    for name, pictures in people.PICTURES.items():\n"
        "        gallery.register(name, list(pictures))\n"
        "    for name, probes in people.PROBES.items():\n"
        "        seen[name] = [[face.person_id for face in gallery.recognize(probe)] for probe in probes]\n"
        "    strangers = [[face.person_id for face in gallery.recognize(picture)] for picture in people.STRANGERS]\n"
        "state = packs.verify('mobile')\n"
        "told = {'seen': seen, 'strangers': strangers, 'package': state.location.package.distribution}\n"
        "told['conditions'] = [file.condition for file in state.files]\n"
        "print(json.dumps({**told, 'from': [str(file.path) for file in state.files]}))"
    )
    assert told["seen"] == {name: [[name]] * len(probes) for name, probes in people.PROBES.items()}
    assert told["strangers"] == [[None]] * len(people.STRANGERS)
    assert told["package"] == "facedex-pack-mobile"
    assert told["conditions"] == ["good"] * 3
    assert [Path(path).parent.name for path in told["from"]] == [
        "facedex_pack_mobile",
        "classic",
        "facedex_pack_mobile",
    ]
    assert not (machine.folder / "home" / "packs").exists()  # nothing was fetched
    tamper(machine.site / "facedex_pack_mobile" / "mobilefacenet_foamliu_128d.onnx")
    assert machine.run(CODE_OF.format("Engine('mobile')")) == "weights_digest"
    machine.pip("uninstall", "--yes", "facedex-pack-mobile")
    assert machine.run(CODE_OF.format("Engine('mobile')")) == "weights_missing"
    assert not list(machine.site.glob("facedex_pack*"))


CODE_OF = (
    "try:\n    {}\nexcept errors.FacedexError as error:\n    print(json.dumps(error.code))\nelse:\n    print('null')"
)


@pytest.mark.slow
def test_an_installed_custom_pack_is_known_by_its_name(tmp_path: Path, machine: Machine) -> None:
    manifest = own(tmp_path / "own", "mine", ("commercial = true", 'commercial = false\nterms = "For research only."'))
    with pytest.raises(LicenseError):
        packs.wheel(manifest, tmp_path)
    Engine(manifest, accept_license="MIT,CC0-1.0")
    machine.install(packs.wheel(manifest, tmp_path))
    assert machine.run(CODE_OF.format("Engine('mine')")) == "license"
    told = machine.run(
        "engine = Engine('mine', accept_license='MIT,CC0-1.0')\n"
        "names = [pack.name for pack in packs.list()]\n"
        "print(json.dumps({'faces': len(engine.analyze(people.GROUP)), 'digest': engine.pack.digest, 'names': names}))"
    )
    assert told["faces"] == len(Engine("classic").analyze(people.GROUP))
    assert told["digest"] == Engine(manifest).pack.digest
    assert told["names"] == [*packs.built_in(), "mine"]
    assert machine.run(CODE_OF.format("Engine('mine')")) is None  # the licence is kept
    tamper(machine.site / "facedex_pack_mine" / "dlib_resnet.onnx")
    assert machine.run(CODE_OF.format("Engine('mine')")) == "weights_digest"
    tamper(machine.site / "facedex_pack_mine" / "dlib_resnet.onnx")
    (machine.site / "facedex_pack_mine" / "mine.toml").write_text("format = 1")
    assert machine.run(CODE_OF.format("Engine('mine')")) == "manifest"


# Found on the path of a process.


def test_an_accepted_digest_is_included(tmp_path: Path, site: Path, home: Path) -> None:
    (dlib,) = [file.sha256 or "" for file in packs.info("classic").info.files if file.name == "dlib_resnet.onnx"]
    manifest = own(tmp_path / "own", "mine", (dlib, "unverified"))
    with pytest.raises(WeightsUnverifiedError):
        packs.wheel(manifest, tmp_path)
    packs.verify(manifest, accept_unverified=True)
    unpack(packs.wheel(manifest, tmp_path), site)
    shutil.rmtree(home)
    with pytest.raises(WeightsUnverifiedError):
        Engine(manifest)
    assert Engine("mine").pack.dimension == 128
    assert [state.condition for state in packs.verify("mine").files] == ["good"] * 4
    tamper(site / "facedex_pack_mine" / "dlib_resnet.onnx")
    assert [state.condition for state in packs.verify("mine").files] == ["good"] * 3 + ["wrong"]
    with pytest.raises(WeightsDigestError):
        Engine("mine")


def test_an_installed_custom_pack_can_be_packed_again(tmp_path: Path, wheel: Path, site: Path) -> None:
    unpack(wheel, site)
    assert packs.wheel("mine", tmp_path).read_bytes() == wheel.read_bytes()


def test_names_that_are_in_use(tmp_path: Path, wheel: Path, site: Path) -> None:
    manifest = own(tmp_path / "own")
    unpack(wheel, site)
    with pytest.raises(PackNameError, match="pip uninstall facedex-pack-mine"):
        packs.add(manifest)
    with pytest.raises(ArgumentError, match="was installed by pip: pip uninstall facedex-pack-mine"):
        packs.remove("mine")
    with pytest.raises(PackNotFoundError, match=r"known are base, classic, .*, mine"):
        packs.find("yours")
    assert packs.state("mine").ready


def test_an_installed_package_does_not_replace_a_manifest_of_facedex(wheel: Path, site: Path) -> None:
    unpack(wheel, site)
    points = site / "facedex_pack_mine-0.1.0.dist-info" / "entry_points.txt"
    points.write_text("[facedex.packs]\nopen = facedex_pack_mine\nclassic = facedex_pack_mine\n")
    for name in ("open", "classic"):
        shutil.copy(site / "facedex_pack_mine" / "mine.toml", site / "facedex_pack_mine" / f"{name}.toml")
    assert packs.state("open").info.files[0].name == "yunet_n_dynamic.onnx"
    assert packs.state("open").ready is False
    assert packs.state("classic").location.package is None


@pytest.mark.parametrize(
    "point",
    [
        "mine = ../own",
        "mine = os:system",
        "mine = facedex_pack_mine.nowhere",
        "../facedex_pack_mine/mine = facedex_pack_mine",
        "mine = /tmp",
    ],
)
def test_an_entry_point_that_names_no_manifest_is_ignored(tmp_path: Path, wheel: Path, site: Path, point: str) -> None:
    own(tmp_path / "own")
    unpack(wheel, site)
    (site / "facedex_pack_mine-0.1.0.dist-info" / "entry_points.txt").write_text(f"[facedex.packs]\n{point}\n")
    assert installed_packs() == {}
    with pytest.raises(PackNotFoundError):
        packs.find("mine")


def test_no_code_of_a_package_runs(wheel: Path, site: Path) -> None:
    unpack(wheel, site)
    (site / "facedex_pack_mine" / "__init__.py").write_text("raise SystemExit('it was imported')\n")
    assert Engine("mine").pack.name == "mine"


def test_packages_are_searched_only_for_missing_files() -> None:
    program = (
        "import sys\nfrom facedex import packs\npacks.require_ready('classic')\n"
        "sys.exit('importlib.metadata' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# The command line.


def test_wheel_on_the_command_line(tmp_path: Path, site: Path) -> None:
    manifest = own(tmp_path / "own")
    result = runner.invoke(app, ["packs", "wheel", str(manifest), "--out", str(tmp_path / "dist")])
    made = tmp_path / "dist" / "facedex_pack_mine-0.1.0-py3-none-any.whl"
    assert result.exit_code == 0, result.output
    assert re.fullmatch(
        rf"{re.escape(str(made))} \(2\d\.\d MB\); install it with: pip install --no-index {re.escape(str(made))}",
        result.stdout.replace("\n", " ").strip(),
    )
    told = runner.invoke(
        app, ["packs", "wheel", str(manifest), "--out", str(tmp_path), "--version", "3.1", "--json"]
    ).stdout
    assert Path(json.loads(told)["wheel"]).name == "facedex_pack_mine-3.1-py3-none-any.whl"
    assert json.loads(told)["bytes"] == (tmp_path / "facedex_pack_mine-3.1-py3-none-any.whl").stat().st_size
    unpack(made, site)
    listed = {pack["name"]: pack for pack in json.loads(runner.invoke(app, ["packs", "--json"]).stdout)["packs"]}
    assert (listed["mine"]["package"], listed["mine"]["ready"]) == ("facedex-pack-mine", True)
    assert listed["classic"]["package"] is None
    assert "installed by pip: facedex-pack-mine" in runner.invoke(app, ["packs", "info", "mine"]).stdout
    refused = runner.invoke(app, ["packs", "wheel", "classic"])
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (3, "error [argument]")
