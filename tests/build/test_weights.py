"""Making the package data: which files are refused, kept and replaced."""

import os
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from importlib import metadata
from pathlib import Path

import joblib
import pytest

from facedex_build import cascade, weights
from facedex_build.errors import BuildError, FetchError
from facedex_build.npm import NpmFile, NpmPackage
from facedex_build.sources import SourceFile
from facedex_build.weights import Pack, Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
CONTENT = b"weights"
LICENCE = b"licence"


class Poison:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._path),)


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


SOURCE = SourceFile("sample", "1.0", "sample/weights.bin", digest(CONTENT))
FETCHED = NpmFile(NpmPackage("@some/sample", "1.0.0", "", 7), "package/two.bin", digest(b"FETCHED"), 7)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package `sample` 1.0 with one file; return the file's path."""
    site = tmp_path / "site"
    (site / "sample-1.0.dist-info").mkdir(parents=True)
    (site / "sample-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: sample\nVersion: 1.0\n")
    (site / "sample-1.0.dist-info" / "LICENSE").write_bytes(LICENCE)
    (site / "sample").mkdir()
    (site / "sample" / "weights.bin").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(site))
    return site / "sample" / "weights.bin"


@pytest.fixture
def tree(tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source tree whose pack has one file, made of the sample's."""
    licence = SourceFile("sample", "1.0", "sample-1.0.dist-info/LICENSE", digest(LICENCE))
    pack = Pack({"one.onnx": Recipe((SOURCE,), bytes.upper)}, {"LICENSE.sample": licence})
    monkeypatch.setattr(weights, "PACKS", {"classic": pack})
    root = tmp_path / "tree"
    declare(root, {"one.onnx": digest(CONTENT.upper())})
    return root


@pytest.fixture
def with_base(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with a second pack, of a file of an npm package that is in no cache; there is no npm."""
    monkeypatch.setenv("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    notice = Path("models", "base.NOTICE")
    pack = Pack({"two.onnx": Recipe((FETCHED,), bytes.lower)}, {"NOTICE": notice})
    monkeypatch.setattr(weights, "PACKS", {**weights.PACKS, "base": pack})
    declare(tree, {"two.onnx": digest(b"fetched"), "one.onnx": digest(CONTENT.upper())}, "base")
    (tree / notice).write_text("notice")
    return tree


def declare(root: Path, files: Mapping[str, str], pack: str = "classic") -> None:
    (root / "models").mkdir(parents=True, exist_ok=True)
    tables = [f'[[file]]\nname = "{name}"\nsha256 = "{value}"\n' for name, value in files.items()]
    (root / "models" / f"{pack}.toml").write_text("\n".join(["format = 1", *tables]))


def data_files(root: Path) -> dict[str, bytes]:
    folder = root / weights.DATA
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_makes_the_package_data(tree: Path) -> None:
    paths = weights.make(tree)
    manifest = (tree / "models" / "classic.toml").read_bytes()
    expected = {"classic/one.onnx": b"WEIGHTS", "classic/LICENSE.sample": LICENCE, "manifests/classic.toml": manifest}
    assert data_files(tree) == expected
    assert {path.relative_to(tree / weights.DATA).as_posix() for path in paths} == set(expected)


def test_correct_files_are_kept_and_others_replaced(tree: Path, package: Path) -> None:
    one = weights.make(tree)[0]
    package.unlink()
    before = one.stat().st_mtime_ns, one.stat().st_ino
    weights.make(tree)  # needs no source any more
    assert (one.stat().st_mtime_ns, one.stat().st_ino) == before
    package.write_bytes(CONTENT)
    one.write_bytes(b"half of")
    weights.make(tree)
    assert one.read_bytes() == b"WEIGHTS"


def test_manifests_follow_their_originals(tree: Path) -> None:
    (tree / "models" / "other.toml").write_text("format = 1\n")
    weights.make(tree)
    assert data_files(tree)["manifests/other.toml"] == b"format = 1\n"
    (tree / "models" / "other.toml").unlink()
    weights.make(tree)
    assert "manifests/other.toml" not in data_files(tree)


def test_a_pack_that_cannot_be_fetched_ends_the_build(with_base: Path) -> None:
    with pytest.raises(FetchError, match="the pack base cannot be made: npm is not on the PATH") as caught:
        weights.make(with_base)
    assert "\n" not in str(caught.value)


def test_a_pack_that_cannot_be_fetched_may_be_left_out(with_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (with_base / weights.DATA / "base").mkdir(parents=True)
    (with_base / weights.DATA / "base" / "two.onnx").write_bytes(b"of another version")
    weights.make(with_base, optional=("base",))
    assert set(data_files(with_base)) == {
        "classic/one.onnx",
        "classic/LICENSE.sample",
        "manifests/classic.toml",
        "manifests/base.toml",
    }
    assert weights.missing_packs(with_base) == ["base"]
    assert capsys.readouterr().err.startswith("facedex: npm is not on the PATH")


def test_cached_files_are_not_fetched(with_base: Path) -> None:
    assert weights.files_to_fetch(with_base) == [FETCHED]
    FETCHED.store(b"FETCHED")
    weights.make(with_base)
    made = data_files(with_base)
    assert (made["base/two.onnx"], made["base/NOTICE"]) == (b"fetched", b"notice")
    assert "base/one.onnx" not in made  # the manifest takes it from the other pack
    assert (weights.missing_packs(with_base), weights.files_to_fetch(with_base)) == ([], [])
    (FETCHED.package.folder / "two.bin").unlink()
    (with_base / "models" / "base.NOTICE").write_text("another notice")
    weights.make(with_base)  # wants no more than the notice
    assert data_files(with_base)["base/NOTICE"] == b"another notice"


def test_a_result_with_a_wrong_digest_is_refused_and_not_written(tree: Path) -> None:
    declare(tree, {"one.onnx": digest(b"other")})
    with pytest.raises(
        BuildError, match=r"one.onnx came out with sha256 \w+ \(7 bytes\), but models.classic.toml says"
    ):
        weights.make(tree)
    assert data_files(tree) == {}


@pytest.mark.parametrize("manifest", [None, "[[file", "format = 1", "[[file]]\nname = 'one.onnx'", "file = 3"])
def test_a_damaged_manifest_is_reported(tree: Path, manifest: str | None) -> None:
    path = tree / "models" / "classic.toml"
    path.unlink() if manifest is None else path.write_text(manifest)
    with pytest.raises(BuildError, match=r"models.classic.toml cannot be read .*; restore it: git checkout"):
        weights.make(tree)


def test_a_manifest_without_a_file_is_reported(tree: Path) -> None:
    declare(tree, {"two.onnx": digest(b"")})
    with pytest.raises(BuildError, match=r"models.classic.toml lists no file one.onnx; restore it"):
        weights.make(tree)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (SourceFile("absent", "1.0", "a", ""), "absent 1.0 carries weights and is not installed; run: pip install"),
        (SourceFile("sample", "2.0", "a", ""), "sample is 1.0, 2.0 is needed; run: pip install .* sample==2.0"),
        (SourceFile("sample", "1.0", "sample/none", ""), "sample 1.0 has no sample/none; run: pip install"),
        (SourceFile("sample", "1.0", "sample/weights.bin", "00"), r"has sha256 \w{64}, not the recorded 00; run: pip"),
    ],
)
def test_a_wrong_source_is_reported_with_its_remedy(package: Path, source: SourceFile, message: str) -> None:
    with pytest.raises(BuildError, match=message) as caught:
        source.read()
    assert "\n" not in str(caught.value)


def test_an_altered_pickle_is_refused_before_it_is_opened(
    tree: Path, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "trace"
    joblib.dump([Poison(trace)], package, compress=("lz4", 3))
    monkeypatch.setattr(weights, "PACKS", {"classic": Pack({"one.onnx": Recipe((SOURCE,), open_pickle)}, {})})
    with pytest.raises(BuildError, match="not the recorded"):
        weights.make(tree)
    assert not trace.exists()
    with pytest.raises(BuildError, match="weights have the shapes"):
        open_pickle(package.read_bytes())
    assert trace.is_dir()  # opened without the check, it does its harm


def open_pickle(data: bytes) -> bytes:
    return cascade.convert("pnet", cascade.unpickle(data, "pnet"))


def declared(pack: str) -> dict[str, tuple[str, int]]:
    """Digest and size of the files of a pack that are its own."""
    manifest = tomllib.loads((ROOT / "models" / f"{pack}.toml").read_text("utf-8"))
    return {table["name"]: (table["sha256"], table["size"]) for table in manifest["file"] if "pack" not in table}


@pytest.mark.parametrize("pack", weights.PACKS)
def test_a_manifest_lists_the_built_files(pack: str) -> None:
    assert set(declared(pack)) == set(weights.PACKS[pack].recipes)


@pytest.mark.parametrize(
    ("pack", "name"), [(pack, name) for pack in weights.PACKS for name in weights.PACKS[pack].recipes]
)
def test_recorded_digests_are_those_of_the_manifest(pack: str, name: str) -> None:
    recipe = weights.PACKS[pack].recipes[name]
    data = recipe.convert(*(source.read() for source in at_hand(recipe)))
    assert (digest(data), len(data)) == declared(pack)[name]


def at_hand(recipe: Recipe) -> tuple[SourceFile | NpmFile, ...]:
    for source in recipe.sources:
        if isinstance(source, NpmFile):
            if not source.cached:
                pytest.skip(f"{source.package.name} is not in the cache: make build fetches it")
        elif not there(source.package):
            pytest.skip(f"needs {source.package} (100 MB): make EXTRAS=test,build test-all")
    return recipe.sources


def there(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def test_the_landmark_model_without_commercial_use_is_never_a_source() -> None:
    recipes = [recipe for pack in weights.PACKS.values() for recipe in pack.recipes.values()]
    files = [source.path for recipe in recipes for source in recipe.sources]
    assert files
    assert not [path for path in files if "shape_predictor" in path]


def test_conversion_is_reproducible_in_another_process() -> None:
    program = (
        "from hashlib import sha256; from facedex_build import weights; "
        "recipe = weights.PACKS['classic'].recipes['rnet.onnx']; "
        "print(sha256(recipe.convert(*(source.read() for source in recipe.sources))).hexdigest())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert told.strip() == declared("classic")["rnet.onnx"][0]
