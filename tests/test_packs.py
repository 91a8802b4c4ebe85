"""Packs: shipped and custom manifests, licences, and their commands."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import facedex
from facedex import Engine, packs, people
from facedex._core import read_manifest
from facedex.cli import app
from facedex.errors import (
    ArgumentError,
    DatabaseDamagedError,
    FacedexError,
    GalleryFileError,
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
from facedex.store.rows import pin_of
from facedex.transfer.lines import Head as GalleryHead
from facedex.transfer.lines import Reading, head_line

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "models").glob("*.toml"))
CLASSIC = packs.find("classic")
CASCADE = ("pnet.onnx", "rnet.onnx", "onet.onnx")
RNET = next(file.sha256 or "" for file in read_manifest(CLASSIC.manifest).files if file.name == "rnet.onnx")
runner = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("FACEDEX_MIRROR", "FACEDEX_ACCEPT_LICENSE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FACEDEX_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def own(folder: Path, *, name: str = "mine", change: tuple[str, str] = ("", "")) -> Path:
    """A custom pack that detects and does not embed: a copy of the built-in cascade."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in CASCADE:
        shutil.copy(CLASSIC.folder / file, folder / file)
    text = CLASSIC.manifest.read_text("utf-8")
    blocks = re.split(r"\n(?=\[\[file\]\]|\[detector\]|\[embedder\]|\[recognition\])", text)
    kept = [block for block in blocks[1:] if any(f'"{file}"' in block for file in CASCADE)]
    body = "\n".join([f'format = 1\nname = "{name}"\nsummary = "mine"\n', *kept])
    manifest = folder / "mine.toml"
    manifest.write_text(body.replace(*change) if change[0] else body, "utf-8")
    return manifest


# The manifests that come with facedex.


def test_every_promised_pack_exists() -> None:
    assert packs.built_in()[:4] == ("base", "classic", "mobile", "open")
    promised = {
        "antelopev2",
        "arcface_r100",
        "arcface_r18",
        "auraface",
        "buffalo_l",
        "buffalo_s",
        "buffalo_sc",
        "facenet",
        "liveness",
        "reid-0095",
    }
    assert promised < set(packs.built_in())
    assert [path.stem for path in SHIPPED] == sorted(packs.built_in())


@pytest.mark.parametrize("manifest", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_manifest_is_read(manifest: Path) -> None:
    info = read_manifest(manifest)
    assert info.name == manifest.stem
    assert 20 < len(info.summary) < 120
    for file in info.files:
        assert file.sha256 is not None or file.size is None
        assert file.pack in (None, "classic")
        places = bool(file.urls) + bool(file.archive) + bool(file.pack)
        assert places == 1 or (places == 0 and (packs.find(info.name).bundled or file.sha256 is None))
        assert file.commercial == (file.terms is None)
        assert file.licence_source.startswith("https://")
        assert file.trained_on
    if info.commercial:
        assert set(info.licences) <= {"MIT", "Apache-2.0", "CC0-1.0"}
    else:
        assert packs.state(manifest).unaccepted == ("InsightFace-NonCommercial",)


def test_files_of_the_built_in_pack_are_the_same_everywhere() -> None:
    own_files = {file.name: (file.sha256, file.size) for file in read_manifest(CLASSIC.manifest).files}
    borrowed = [file for path in SHIPPED for file in read_manifest(path).files if file.pack == "classic"]
    assert borrowed
    for file in borrowed:
        assert own_files[file.name] == (file.sha256, file.size)


def test_digests_that_many_packs_name_agree() -> None:
    known: dict[str, str | None] = {}
    for path in SHIPPED:
        for file in read_manifest(path).files:
            assert known.setdefault(file.name, file.sha256) == file.sha256


def test_a_measured_threshold_comes_with_its_rates() -> None:
    mobile = read_manifest(ROOT / "models" / "mobile.toml")
    assert (mobile.threshold, mobile.fmr) == (0.402, 1e-4)
    assert [(fmr, round(cosine, 3), fnmr) for fmr, cosine, fnmr in mobile.operating_points] == [
        (1e-3, 0.334, 0.014),
        (1e-4, 0.402, 0.034),
    ]
    published = read_manifest(ROOT / "models" / "buffalo_l.toml")
    assert (published.threshold, published.fmr) == (0.4078, 1e-6)
    assert read_manifest(ROOT / "models" / "open.toml").threshold is None


def test_the_guide_teaches_a_manifest_that_can_be_read(tmp_path: Path) -> None:
    guide = (ROOT / "models" / "README.md").read_text("utf-8")
    examples = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert len(examples) == 1
    manifest = tmp_path / "example.toml"
    manifest.write_text(examples[0], "utf-8")
    info = packs.add(manifest).info
    assert (info.name, info.dimension, info.commercial) == ("my_faces", 512, True)


# Manifests that cannot be read: an error with its place, and never anything else.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('summary = "mine"', 'summary = "mine"\ncolour = "red"'), ("unknown field `colour`", "line 4")),
        (('summary = "mine"', ""), ("missing field `summary`",)),
        (("format = 1", "format = 2"), ("format is 2, this version reads 1",)),
        (("format = 1", "format = "), ("line 1",)),
        (('trained_on = "WIDER', 'trained_in = "WIDER'), ("unknown field `trained_in`", "line {trained_in}")),
        (('licence = "MIT"', ""), ("missing field `licence`", "line 5")),
        (("scale_factor = 0.709", "scale_factor = 7.09"), ("scale_factor must be 0.1 to 0.95, got 7.09",)),
        (("sure_score = 0.97", "sure_score = 97"), ("sure_score must be 0 to 1, got 97",)),
        (('family = "mtcnn"', 'family = "guess"'), ("unknown variant `guess`",)),
        (('file = "pnet.onnx"', 'file = "qnet.onnx"'), ('a role names file "qnet.onnx"',)),
        (('outputs = ["bbox_reg", "prob"]', 'outputs = ["prob"]'), ("needs 2 outputs, got 1",)),
        (("std = [128.0, 128.0, 128.0]", "std = [128.0, 0.0, 128.0]"), ("must be finite and not 0",)),
        (('name = "rnet.onnx"', 'name = "pnet.onnx"'), ("is declared twice",)),
        (('name = "mine"', 'name = "../mine"'), ("pack name", "without a folder")),
        (('name = "mine"', 'name = ".."'), ("pack name", "'.' at either end")),
        (('name = "mine"', 'name = "mine."'), ("pack name", "'.' at either end")),
        (('name = "mine"', 'name = ".mine"'), ("pack name", "'.' at either end")),
        (('name = "mine"', 'name = ""'), ("pack name", "1 to 200")),
        (('name = "mine"', 'name = "mine.toml"'), ("pack name", "or .toml")),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else None,
)
def test_errors_of_a_manifest_are_reported(tmp_path: Path, change: tuple[str, str], words: tuple[str, ...]) -> None:
    manifest = own(tmp_path / "own", change=change)
    lines = manifest.read_text("utf-8").splitlines()
    places = {"trained_in": next((i for i, line in enumerate(lines, 1) if "trained_in" in line), 0)}
    with pytest.raises(ManifestError) as caught:
        packs.add(manifest)
    for word in (str(manifest), *words):
        assert word.format(**places) in str(caught.value)
    with pytest.raises(ManifestError):
        Engine(manifest)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfe", b"a = " + b"[" * 100_000, b"x = " + b"{ y = " * 50_000, b'format = "\\u{110000}"', b"\0" * 1000],
    ids=["empty", "no UTF-8", "deep lists", "deep tables", "no such character", "zeros"],
)
def test_bytes_that_are_not_a_manifest(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.toml").write_bytes(data)
    with pytest.raises(ManifestError):
        read_manifest(tmp_path / "x.toml")


_TEXTS = [path.read_text("utf-8") for path in SHIPPED]
_JUNK = st.sampled_from(
    [
        "-1",
        "1e999",
        "nan",
        "99999999999999999999",
        '""',
        "[]",
        "{}",
        "true",
        '"\\u0000"',
        "[[1], 2]",
        "0x7f",
        "1979-05-27",
        "=",
    ]
)


@st.composite
def _mutated(draw: st.DrawFn) -> str:
    lines = draw(st.sampled_from(_TEXTS)).splitlines()
    for _ in range(draw(st.integers(1, 6))):
        if not lines:
            break
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 5)):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
            case 2:
                lines[at] = lines[at].split("=")[0] + "= " + draw(_JUNK)
            case 3:
                lines.insert(at, draw(st.text(max_size=30)))
            case 4:
                del lines[at:]
            case 5:
                lines[at] = lines[at][::-1]
    return "\n".join(lines)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=_mutated())
def test_a_mutated_manifest_is_accepted_or_refused(tmp_path: Path, text: str) -> None:
    manifest = tmp_path / "mutated.toml"
    manifest.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ManifestError):  # any other exception fails the test
        assert len(read_manifest(manifest).digest) == 64


# Opening: never without the files, never implicitly.


def test_the_error_for_a_missing_pack_says_what_to_do(home: Path) -> None:
    with pytest.raises(WeightsMissingError) as caught:
        Engine("mobile")
    message = str(caught.value)
    for words in (
        "'mobile'",
        "facedex packs get mobile",
        str(home / "packs" / "mobile"),
        "without a network",
        "4.3 MB",
    ):
        assert words in message
    assert not home.exists()


def test_the_message_names_the_licence_and_the_flag() -> None:
    with pytest.raises(WeightsMissingError, match="--accept-license InsightFace-NonCommercial"):
        Engine("buffalo_l")
    with pytest.raises(WeightsMissingError, match="--accept-unverified"):
        Engine("facenet")


def test_an_unknown_name() -> None:
    with pytest.raises(PackNotFoundError, match=r"no pack is called 'moblie'; known are base, classic, mobile, open"):
        Engine("moblie")
    with pytest.raises(PackNotFoundError, match="there is no manifest at"):
        packs.state("nowhere.toml")


def test_a_manifest_is_opened_by_its_path(tmp_path: Path) -> None:
    engine = Engine(own(tmp_path / "own"))
    assert engine.pack.name == "mine"
    assert len(engine.analyze(people.GROUP, embed=False)) == 5


def test_a_changed_file_is_refused_on_opening(tmp_path: Path) -> None:
    manifest = own(tmp_path / "own")
    path = manifest.parent / "rnet.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert {file.condition for file in packs.verify(manifest).files} == {"good", "wrong"}
    with pytest.raises(WeightsDigestError, match=f"expected SHA-256 {RNET}"):
        Engine(manifest)


def test_an_unverified_file_is_pinned_and_then_verified(tmp_path: Path) -> None:
    manifest = own(tmp_path / "own", change=(RNET, "unverified"))
    with pytest.raises(WeightsUnverifiedError, match=r"facedex packs verify .* --accept-unverified"):
        Engine(manifest)
    assert packs.verify(manifest, accept_unverified=True).ready
    engine = Engine(manifest)
    assert len(engine.analyze(people.GROUP, embed=False)) == 5
    assert engine.pack.digest == read_manifest(own(tmp_path / "other")).digest
    path = manifest.parent / "rnet.onnx"
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(WeightsDigestError):
        Engine(manifest)


def test_the_core_refuses_an_unverified_file_without_a_pin(tmp_path: Path) -> None:
    manifest = own(tmp_path / "own", change=(RNET, "unverified"))
    from facedex._core import Engine as CoreEngine
    from facedex.runtime import runtime_library

    with pytest.raises(WeightsUnverifiedError, match=r'"rnet\.onnx" are unverified'):
        CoreEngine(manifest, [manifest.parent], runtime=runtime_library())


# Licences.

_RESTRICTED = ("commercial = true", 'commercial = false\nterms = "For research only."')


def restricted(folder: Path) -> Path:
    return own(folder, change=_RESTRICTED)


def test_a_licence_is_refused_until_it_is_accepted(tmp_path: Path, home: Path) -> None:
    manifest = restricted(tmp_path / "own")
    for attempt in (Engine, packs.get, packs.require_ready):
        with pytest.raises(LicenseError) as caught:
            attempt(manifest)
        assert caught.value.licences == ("MIT",)
        for words in (
            "For research only (https://",
            "accept_license='MIT'",
            "FACEDEX_ACCEPT_LICENSE=MIT",
            "--accept-license MIT",
        ):
            assert words in str(caught.value)
    with pytest.raises(LicenseError):
        Engine(manifest, accept_license="Apache-2.0")
    assert not home.exists()
    assert Engine(manifest, accept_license="mit").pack.commercial is False
    kept = json.loads((home / "licences.json").read_text())["MIT"]
    assert (kept["pack"], kept["terms"]) == ("mine", "For research only.")
    assert abs((datetime.now(timezone.utc) - datetime.fromisoformat(kept["accepted_at"])).total_seconds()) < 60
    Engine(manifest)
    assert packs.state(manifest).unaccepted == ()


def test_a_licence_is_accepted_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = restricted(tmp_path / "own")
    monkeypatch.setenv("FACEDEX_ACCEPT_LICENSE", "Other, MIT")
    Engine(manifest)


def test_an_accepted_licence_applies_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FACEDEX_HOME", str(tmp_path / "file"))
    Engine(restricted(tmp_path / "own"), accept_license="MIT")
    assert "could not be stored" in caplog.text


def test_damaged_records_are_reported(tmp_path: Path, home: Path) -> None:
    manifest = restricted(tmp_path / "own")
    home.mkdir()
    (home / "licences.json").write_text("[]")
    with pytest.raises(PackFolderError, match="move it away"):
        packs.state(manifest)
    (home / "licences.json").unlink()
    (home / "added.json").write_text('{"mine": 3}')
    with pytest.raises(PackFolderError, match="move it away"):
        packs.list()
    (home / "added.json").unlink()
    record = packs.find(manifest).cache / ".facedex.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"files": 3}')
    with pytest.raises(PackFolderError, match="move it away"):
        packs.state(manifest)


def test_terms_of_the_training_data_are_reported() -> None:
    for pack, words in (
        ("mobile", "withdrawn by its publisher"),
        ("antelopev2", "Celeb-500K"),
        ("buffalo_l", "WebFace"),
        ("classic", "FaceScrub"),
        ("classic", "The VGG collection"),
        ("classic", "CelebA is offered for non-commercial research only"),
        ("open", "WIDER FACE is under CC BY-NC-ND 4.0"),
        ("facenet", "VGGFace2 was gathered from the web"),
        ("auraface", "not disclosed"),
        ("reid-0095", "not stated"),
    ):
        told = [caution for file in packs.state(pack).files for caution in packs.cautions(file.file.trained_on)]
        assert any(words in caution for caution in told), pack
        assert "decide this, with legal advice" in told[-1]
    assert not any(packs.cautions(file.file.trained_on) for file in packs.state("liveness").files)


# Packs of one's own.


def test_an_added_pack_is_opened_by_its_name(tmp_path: Path) -> None:
    manifest = own(tmp_path / "own")
    assert packs.add(os.path.relpath(manifest)).name == "mine"
    assert packs.add(manifest).name == "mine"  # again: no matter
    assert Engine("mine").pack.name == "mine"
    assert [pack.name for pack in packs.list()][-1] == "mine"
    assert packs.path("mine") == manifest.parent
    with pytest.raises(PackNotFoundError, match=r"known are .*, mine"):
        packs.find("yours")


def test_a_removed_custom_pack_keeps_its_files(tmp_path: Path) -> None:
    manifest = own(tmp_path / "own")
    packs.add(manifest)
    assert packs.remove("mine") == packs.Removal((), (), manifest)
    assert sorted(path.name for path in manifest.parent.iterdir()) == sorted([*CASCADE, "mine.toml"])
    with pytest.raises(PackNotFoundError):
        packs.remove("mine")


def test_a_name_that_is_in_use(tmp_path: Path) -> None:
    with pytest.raises(PackNameError, match="'mobile' is already used by a pack of facedex"):
        packs.add(own(tmp_path / "own", name="mobile"))
    packs.add(own(tmp_path / "own"))
    with pytest.raises(PackNameError, match="facedex packs remove mine"):
        packs.add(own(tmp_path / "other"))


def test_an_added_manifest_that_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = own(tmp_path / "own")
    packs.add(manifest)
    manifest.unlink()
    with pytest.raises(PackNotFoundError, match="which is gone; restore it, or remove it: facedex packs remove mine"):
        Engine("mine")
    assert "mine" not in [pack.name for pack in packs.list()]
    assert "which is gone" in caplog.text
    assert packs.remove("mine").forgotten == manifest


def test_a_file_that_is_not_a_manifest_is_not_added(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"ends in \.toml"):
        packs.add(tmp_path / "weights.onnx")
    with pytest.raises(PackNotFoundError):
        packs.add(tmp_path / "missing.toml")


def test_the_built_in_pack_cannot_be_removed() -> None:
    with pytest.raises(ArgumentError, match="comes with facedex and stays"):
        packs.remove("classic")
    assert packs.verify("classic").ready


def test_the_default_is_the_first_available_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert (packs.default(), packs.fallback()) == ("base", None)
    assert Engine().pack.name == "base"
    assert "pack 'base' is the default" in run("list").stdout
    assert (answer("list")["default"], answer("list")["note"]) == ("base", None)
    assert caplog.text == ""
    # As a build is that could not fetch the weights.
    data = tmp_path / "data"
    shutil.copytree(CLASSIC.folder.parent, data, ignore=shutil.ignore_patterns("base"))
    monkeypatch.setattr(sys.modules["facedex.packs.find"], "_DATA", data)
    for _ in range(2):
        assert Engine().pack.name == "classic"
    lacking = "pack 'base' is not in this build, so 'classic' is used where no pack is named"
    assert caplog.text.count(lacking) == 1
    assert lacking in " ".join(run("list").stdout.split())
    assert (answer("list")["default"], answer("list")["note"]) == ("classic", packs.fallback())
    for attempt in (Engine, packs.get):
        with pytest.raises(
            WeightsMissingError, match=r"'base' comes with facedex, and 'blazeface_back\.onnx'.*make weights"
        ):
            attempt("base")


def test_packs_is_a_public_name() -> None:
    assert facedex.packs is packs
    assert "packs" in dir(facedex)


def test_listing_packs_does_not_load_an_http_client() -> None:
    program = (
        "import sys\nfrom facedex import packs\npacks.list()\npacks.require_ready('classic')\n"
        "sys.exit(', '.join({'httpx', 'filelock'} & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# The command line.


def run(*arguments: object, env: dict[str, str] | None = None) -> Result:
    return runner.invoke(app, ["packs", *(str(argument) for argument in arguments)], env=env)


def answer(*arguments: object, code: int = 0) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


def test_the_list_begins_with_the_pack_to_try_first() -> None:
    assert [pack["name"] for pack in answer("list")["packs"]] == list(packs.built_in())
    text = run().stdout
    assert re.search(r"mobile +no +4\.3 +yes", text)
    assert re.search(r"buffalo_l +no +288\.6 +no", text)


def test_info_describes_a_pack_before_its_download() -> None:
    text = run("info", "mobile").stdout
    for words in ("raw.githubusercontent.com/foamliu", "withdrawn", "0.402", "trained on: a refined MS-Celeb-1M"):
        assert words in text
    assert "measured: threshold 0.334 has FMR 0.001 and FNMR 1.4%" in text
    assert [point["fmr"] for point in answer("info", "mobile")["operating_points"]] == [1e-3, 1e-4]
    text = run("info", "buffalo_l").stdout
    for words in ("to accept before use: InsightFace-NonCommercial", "non-commercial research only", "buffalo_l.zip ("):
        assert words in text
    content = answer("info", "antelopev2")
    assert content["archives"][0]["size"] == content["download_bytes"] == 360662982
    assert content["files"][0]["member"] == "antelopev2/scrfd_10g_bnkps.onnx"
    assert answer("info", "nowhere", code=3)["error"]["code"] == "pack_not_found"


def test_get_verify_path_and_remove(tmp_path: Path, home: Path) -> None:
    mirror = tmp_path / "usb" / "mine"
    manifest = own(tmp_path / "own")
    mirror.mkdir(parents=True)
    for name in ("pnet.onnx", "rnet.onnx"):
        (manifest.parent / name).rename(mirror / name)
    assert answer("verify", manifest, code=1)["ready"] is False
    environment = {"FACEDEX_MIRROR": (tmp_path / "usb").as_uri()}
    result = run("get", manifest, env=environment)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("pack 'mine' is ready: 3 files in ")
    assert [file["condition"] for file in answer("verify", manifest)["files"]] == ["good"] * 3
    assert answer("path", manifest)["path"] == str(manifest.parent)
    removed = answer("remove", manifest)
    assert sorted(Path(path).name for path in removed["removed"]) == ["pnet.onnx", "rnet.onnx"]
    assert (manifest.parent / "onet.onnx").is_file()


def test_licence_and_unverified_files_on_the_command_line(tmp_path: Path) -> None:
    manifest = restricted(tmp_path / "own")
    assert run("get", manifest).stderr.startswith("error [license]: the weights of pack 'mine' are under MIT: ")
    assert run("get", manifest, "--accept-license", "MIT").exit_code == 0
    manifest.write_text(manifest.read_text("utf-8").replace(RNET, "unverified"), "utf-8")
    assert run("get", manifest).stderr.startswith("error [weights_unverified]: ")
    assert run("verify", manifest).exit_code == 1
    assert run("verify", manifest, "--accept-unverified").exit_code == 0
    assert run("get", manifest).exit_code == 0


def test_add_and_forget_on_the_command_line(tmp_path: Path) -> None:
    manifest = own(tmp_path / "own")
    assert answer("add", manifest)["name"] == "mine"
    assert "mine" in run("list").stdout
    assert answer("remove", "mine") == {"removed": [], "kept": [], "forgotten": str(manifest)}
    assert run("add", own(tmp_path / "other", name="open")).stderr.startswith("error [pack_name]: ")
    manifest.write_text("format = 1\nnome = 3\n")
    assert run("add", manifest).stderr.startswith("error [manifest]: ")
    assert run("remove", "classic").stderr.startswith("error [argument]: ")


def test_every_command_lists_its_options() -> None:
    for command in ("list", "info", "get", "verify", "remove", "add", "path", "wheel"):
        result = run(command, "--help")
        assert result.exit_code == 0
        assert "--json" in result.stdout


# The pack to recommend, with its own files.

_MOBILE = {
    "yunet_n_dynamic.onnx": "yunet/yunet_n_dynamic.onnx",
    "mobilefacenet_foamliu_128d.onnx": "mobilefacenet/mobilefacenet_foamliu_128d.onnx",
}


@pytest.mark.shared
def test_mobile_is_fetched_checked_opened_and_recognises(tmp_path: Path, shared: Path, home: Path) -> None:
    from facedex import Gallery

    mirror = tmp_path / "mirror" / "mobile"
    mirror.mkdir(parents=True)
    for name, place in _MOBILE.items():
        shutil.copy(shared / "models" / place, mirror / name)
    state = packs.get("mobile", mirror=(tmp_path / "mirror").as_uri())
    assert [file.condition for file in state.files] == ["good"] * 3
    assert sorted(path.name for path in (home / "packs" / "mobile").glob("*.onnx")) == sorted(_MOBILE)
    assert sum(file.file.size or 0 for file in state.files if file.file.pack is None) == 4_320_976
    with Gallery.open(tmp_path / "people.db", pack="mobile") as gallery:
        for name, pictures in people.PICTURES.items():
            gallery.register(name, list(pictures))
        for name, probes in people.PROBES.items():
            for probe in probes:
                assert [face.person_id for face in gallery.recognize(probe)] == [name]
        for stranger in people.STRANGERS:
            assert [face.person_id for face in gallery.recognize(stranger)] == [None]
        assert len(gallery.recognize(people.GROUP)) == 5
    assert sorted(path.name for path in packs.remove("mobile").removed) == sorted(_MOBILE)


@pytest.mark.shared
def test_a_network_published_by_intel_is_prepared_as_in_the_guide(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small network with the input and output of the converted one: the mean of each channel, in 256 values."""
    onnx = pytest.importorskip("onnx", reason="needs onnx: make EXTRAS=test,parity test-all")
    tensors = onnx.helper.make_tensor_value_info
    mix = np.zeros((256, 3, 1, 1), np.float32)
    mix[:3, :, 0, 0] = np.eye(3)
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("GlobalAveragePool", ["data"], ["mean"]),
            onnx.helper.make_node("Conv", ["mean", "mix"], ["658"]),
        ],
        "zoo",
        [tensors("data", onnx.TensorProto.FLOAT, [1, 3, 128, 128])],
        [tensors("658", onnx.TensorProto.FLOAT, [1, 256, 1, 1])],
        [onnx.numpy_helper.from_array(mix, "mix")],
    )
    opset = onnx.helper.make_opsetid("", 19)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9), tmp_path / "zoo.onnx")
    monkeypatch.chdir(tmp_path)
    guide = (ROOT / "models" / "README.md").read_text("utf-8")
    (program,) = re.findall(r"```python\n(import onnx\n.*?)```", guide, re.DOTALL)
    exec(compile(program, "flatten.py", "exec"), {})  # ours
    folder = packs.path("reid-0095")
    folder.mkdir(parents=True)
    (tmp_path / "face-reidentification-retail-0095.onnx").rename(folder / "face-reidentification-retail-0095.onnx")
    mirror = tmp_path / "mirror" / "reid-0095"
    mirror.mkdir(parents=True)
    shutil.copy(shared / "models" / _MOBILE["yunet_n_dynamic.onnx"], mirror)
    with pytest.raises(WeightsUnverifiedError):
        packs.get("reid-0095", mirror=(tmp_path / "mirror").as_uri())
    assert packs.get("reid-0095", mirror=(tmp_path / "mirror").as_uri(), accept_unverified=True).ready
    engine = Engine("reid-0095")
    face = engine.analyze(people.GROUP, max_faces=1)[0]
    assert face.embedding is not None
    crop = engine.crop(people.GROUP, face.landmarks)
    assert crop.shape == (128, 128, 3)
    red, green, blue = crop.reshape(-1, 3).mean(0, dtype=np.float64)
    expected = np.array([blue, green, red]) / np.linalg.norm([blue, green, red])
    assert abs(red - blue) > 1  # or the order of the channels would not show
    np.testing.assert_allclose(face.embedding[:3], expected, atol=1e-5)
    assert not face.embedding[3:].any()


@pytest.mark.shared
def test_the_detector_of_the_small_insightface_packs_is_the_published_one(shared: Path) -> None:
    from hashlib import sha256

    found = sha256((shared / "models" / "scrfd" / "det_500m.onnx").read_bytes()).hexdigest()
    for name in ("buffalo_s", "buffalo_sc"):
        (file,) = [
            file for file in read_manifest(ROOT / "models" / f"{name}.toml").files if file.name == "det_500m.onnx"
        ]
        assert file.sha256 == found


def test_every_error_is_an_error_of_facedex() -> None:
    for kind in (LicenseError, ManifestError, PackFolderError, PackNameError, WeightsUnverifiedError):
        assert issubclass(kind, FacedexError)


# One rule for the names of packs.

NAMES = {
    "a": True,
    "my-pack_1.0+fp16": True,
    "n" * 200: True,
    "n" * 201: False,
    "": False,
    "..": False,
    ".hidden": False,
    "dot.": False,
    "a/b": False,
    "../a": False,
    "a b": False,
    "other.toml": False,
    "other.TOML": False,
    "m\u00fcller": False,
    "a\tb": False,
}


def manifest_takes(name: str, folder: Path) -> bool:
    try:
        packs.add(own(folder, change=('name = "mine"', f"name = {json.dumps(name)}")))
    except ManifestError:
        return False
    return True


def database_takes(name: str, _: Path) -> bool:
    try:
        pin_of(SimpleNamespace(pack_name=name, pack_digest="ab" * 32, dimension=8))
    except DatabaseDamagedError:
        return False
    return True


def gallery_file_takes(name: str, _: Path) -> bool:
    line = head_line(GalleryHead(name, "ab" * 32, 8, "0" * 32, "default", "2026-01-01T00:00:00+00:00", "1"))
    try:
        Reading("people.fdx").head(line)
    except GalleryFileError:
        return False
    return True


def package_takes(name: str, folder: Path) -> bool:
    described = folder / "site" / "somebody-1.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody\nVersion: 1\n")
    (described / "entry_points.txt").write_text(f"[facedex.packs]\n{name} = somebody\n", "utf-8")
    (folder / "site" / "somebody").mkdir()
    with contextlib.suppress(OSError):  # in another folder
        (folder / "site" / "somebody" / f"{name}.toml").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "site")
        return name in installed_packs()


@pytest.mark.parametrize("takes", [manifest_takes, database_takes, gallery_file_takes, package_takes])
@pytest.mark.parametrize("name", NAMES)
def test_every_entry_point_has_the_same_rule_for_names(
    tmp_path: Path, takes: Callable[[str, Path], bool], name: str
) -> None:
    assert takes(name, tmp_path / "pack") is NAMES[name]


# A user without a home, as in a container.

HOMELESS = {
    "no home at all": {},
    "an empty home": {"HOME": ""},
    "a relative home": {"HOME": "."},
    "a home that cannot exist": {"HOME": "/" + "x" * 300},
    "a relative folder for data": {"XDG_DATA_HOME": "data", "XDG_CACHE_HOME": "cache"},
}


def run_homeless(environment: dict[str, str], code: str, folder: Path) -> list[str]:
    """Run a program as a user without a passwd entry, and return what it prints."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT") if name in os.environ}
    # The home is looked up by the real user; the effective one goes on reading the files of this Python.
    change = "import os\nif hasattr(os, 'setreuid') and os.geteuid() == 0: os.setreuid(54321, -1)\n"
    done = subprocess.run(
        [sys.executable, "-c", change + code], env=kept | environment, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("environment", HOMELESS.values(), ids=HOMELESS)
def test_the_built_in_pack_needs_no_home(environment: dict[str, str], tmp_path: Path) -> None:
    code = """
from facedex import Gallery, packs, people
from facedex.cli import main
import sys
with Gallery.open("people.db") as gallery:
    gallery.register("ayu", people.PICTURES["ayu"])
    print(gallery.recognize(people.PROBES["ayu"][0])[0].person_id)
print("mobile" in [pack.name for pack in packs.list()], packs.default())
sys.argv[1:] = ["recognize", str(people.PROBES["ayu"][0])]
main()
"""
    said = run_homeless(environment, code, tmp_path)
    assert said[:2] == ["ayu", f"True {packs.default()}"]
    assert "ayu" in "".join(said[2:])
    assert all(path.name.startswith("people.db") for path in tmp_path.iterdir())


@pytest.mark.parametrize("environment", HOMELESS.values(), ids=HOMELESS)
def test_what_needs_a_home_names_the_variable(environment: dict[str, str], tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from facedex import packs
from facedex.errors import FacedexError
from facedex.search.snapshots import _cache_folder
calls = [
    lambda: packs.require_ready("mobile"),
    lambda: packs.get("mobile", mirror="file:///nowhere"),
    lambda: packs.path("mobile"),
    lambda: packs.add({str(own(tmp_path / "own"))!r}),
    lambda: packs.remove("mobile"),
    _cache_folder,
]
for call in calls:
    try:
        call()
    except FacedexError as error:
        print(error)
"""
    said = run_homeless(environment, code, tmp_path)
    assert len(said) == 6
    assert all("FACEDEX_HOME" in line and "home folder" in line for line in said), said
    answer = runner.invoke(app, ["packs", "info", "mobile"])
    assert answer.exit_code == 0


def test_a_home_is_given_by_the_variable_alone(tmp_path: Path) -> None:
    code = "from facedex import packs; print(packs.path('mobile'))"
    said = run_homeless({"FACEDEX_HOME": str(tmp_path)}, code, tmp_path)
    assert said == [str(tmp_path / "packs" / "mobile")]
