"""A folder of people with a CSV of names: imported, reported item by item, never followed outside."""

from __future__ import annotations

import asyncio
import os
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facedex import people, transfer
from facedex.engine import Engine
from facedex.errors import ArgumentError, ImportFileError, TransferError
from facedex.gallery import Gallery
from facedex.transfer import people_csv


@pytest.fixture
def gallery(tmp_path: Path, engine: Engine) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "people.db", engine=engine) as gallery:
        yield gallery


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three people with a photo each."""
    made = tmp_path / "dataset"
    for person_id in ("ayu", "budi", "citra"):
        add(made / person_id, person_id, 0)
    return made


def add(folder: Path, person_id: str, number: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(people.PICTURES[person_id][number], folder / f"{number}.jpg"))


def rejected(report: transfer.ImportReport, root: Path) -> dict[str, str]:
    """Return the rejected items, relative to a folder, with the code of the reason."""
    return {
        rejection.text.replace(f"{root}{os.sep}", "").replace(str(root), "."): getattr(rejection.error, "code", "")
        for rejection in report.rejected
    }


def test_the_bundled_people(gallery: Gallery) -> None:
    done: list[tuple[int, int]] = []
    report = transfer.import_from(gallery, people.FOLDER / "people", progress=lambda *numbers: done.append(numbers))
    assert (report.kind, report.people, report.faces, report.rejected, report.unnamed) == ("folder", 8, 24, (), ())
    assert done[-1] == (8, 8)
    assert sorted(str(person.person_id) for person in gallery.people()) == sorted(people.IDS)
    for person_id in people.IDS:
        assert gallery.recognize(people.PROBES[person_id][0])[0].person_id == person_id


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_names_from_a_csv(separator: str, mark: str, end: str, folder: Path, gallery: Gallery, tmp_path: Path) -> None:
    lines = [
        ["ID", "Name", "E-mail", "Employee number", "Remark"],
        ["ayu", "Ayu Léstari", "ayu@example.org", "0042", ""],
        ["budi", '"Budi"" B, ; \t', "", "7", "x"],
        ["nobody", "Nobody", "", "", ""],
    ]
    lines[2][1] += '"'
    path = tmp_path / "people.csv"
    path.write_bytes((mark + end.join(separator.join(line) for line in lines) + end).encode())
    report = transfer.import_from(gallery, folder, names=path)
    ayu, budi, citra = (gallery.person(person_id) for person_id in ("ayu", "budi", "citra"))
    assert (ayu.name, ayu.email, ayu.info) == ("Ayu Léstari", "ayu@example.org", {"Employee number": "0042"})
    assert (budi.name, budi.email, budi.info) == ('Budi" B, ;', None, {"Employee number": "7", "Remark": "x"})
    assert (citra.name, citra.info) == (None, {})
    assert report.unnamed == ("citra",)
    assert [rejection.text for rejection in report.rejected] == [f"nobody in {path}"]


def test_the_attendance_layout(gallery: Gallery, tmp_path: Path) -> None:
    add(tmp_path / "data" / "12345", "ayu", 0)
    (tmp_path / "names.csv").write_text("nik,nama\n12345,AYU\n", "utf-8")
    transfer.import_from(gallery, tmp_path / "data", names=tmp_path / "names.csv")
    assert gallery.recognize(people.PROBES["ayu"][0])[0].name == "AYU"


def test_every_rejected_item_is_named(folder: Path, gallery: Gallery) -> None:
    (folder / "ayu" / "notes.txt").write_text("not a picture")
    (folder / "ayu" / ".DS_Store").write_bytes(b"x")
    (folder / "ayu" / "Thumbs.db").write_bytes(b"x")
    shutil.copy(people.GROUP, folder / "ayu" / "group.jpg")
    (folder / "empty").mkdir()
    add(folder / "deep" / "deeper", "dewi", 0)
    (folder / "scenery").mkdir()
    (folder / "scenery" / "1.txt").write_text("x")
    (folder / "loose.jpg").write_bytes(b"x")
    report = transfer.import_from(gallery, folder)
    assert (report.people, report.faces) == (3, 3)
    assert rejected(report, folder) == {
        "ayu/notes.txt": "not_an_image",
        "ayu/group.jpg": "several_faces",
        "empty": "import_file",
        "deep/deeper": "import_file",
        "deep": "import_file",
        "scenery/1.txt": "not_an_image",
        "loose.jpg": "import_file",
    }
    deep = next(rejection for rejection in report.rejected if rejection.text.endswith("deep"))
    assert f"import {folder / 'deep'} itself" in str(deep.error)


def test_people_that_are_already_registered(folder: Path, gallery: Gallery) -> None:
    gallery.register("ayu", people.PICTURES["ayu"][1], name="Ayu")
    assert rejected(transfer.import_from(gallery, folder), folder) == {"ayu": "duplicate_person"}
    report = transfer.import_from(gallery, folder, on_existing="skip")
    assert (report.people, report.skipped, report.rejected) == (0, ("ayu", "budi", "citra"), ())
    transfer.import_from(gallery, folder, on_existing="add")
    assert len(gallery.person("ayu").faces) == 2
    transfer.import_from(gallery, folder, on_existing="replace")
    assert (len(gallery.person("ayu").faces), gallery.person("ayu").name) == (1, "Ayu")


def test_a_face_of_another_person_is_a_warning_or_rejected(folder: Path, gallery: Gallery) -> None:
    add(folder / "zz", "ayu", 1)
    report = transfer.import_from(gallery, folder, strict=True)
    assert rejected(report, folder) == {"zz": "duplicate_face"}
    report = transfer.import_from(gallery, folder, on_existing="replace")
    assert [(person_id, warning.person_id) for person_id, warning in report.warnings if person_id == "zz"] == [
        ("zz", "ayu")
    ]


def test_names_with_path_traversal_are_only_data(folder: Path, gallery: Gallery, tmp_path: Path) -> None:
    secret = add(tmp_path / "secret", "dewi", 0)
    (folder / "..hidden").mkdir()
    add(folder / "a%2e%2e%2fb", "eko", 0)
    add(folder / "$(touch MARK)", "farah", 0)
    path = tmp_path / "people.csv"
    path.write_text(f"folder,name\n../secret,Secret\n{secret.parent},Secret\nayu,../../etc/passwd\n", "utf-8")
    report = transfer.import_from(gallery, folder, names=path)
    assert {str(person.person_id) for person in gallery.people()} == {
        "ayu", "budi", "citra", "a%2e%2e%2fb", "$(touch MARK)"
    }  # fmt: skip
    assert gallery.person("ayu").name == "../../etc/passwd"
    assert sorted(rejection.text for rejection in report.rejected) == sorted(
        [f"../secret in {path}", f"{secret.parent} in {path}"]
    )
    assert not list(tmp_path.rglob("MARK"))


@pytest.mark.skipif(os.name != "posix", reason="needs file names of POSIX: Linux or macOS")
def test_odd_names_are_rejected_not_fatal(folder: Path, gallery: Gallery) -> None:
    odd = os.fsdecode(os.fsencode(folder) + b"/\xff")
    add(Path(odd), "dewi", 0)
    add(folder / ("x" * 250), "eko", 0)
    add(folder / "  ", "farah", 0)
    os.mkfifo(folder / "ayu" / "pipe")
    report = transfer.import_from(gallery, folder)
    assert (report.people, len(report.rejected)) == (4, 3)
    assert {getattr(rejection.error, "code", "") for rejection in report.rejected} == {"argument", "import_file"}


def test_a_name_is_the_same_in_either_form_of_unicode(gallery: Gallery, tmp_path: Path) -> None:
    add(tmp_path / "data" / unicodedata.normalize("NFD", "José"), "ayu", 0)
    path = tmp_path / "people.csv"
    path.write_text(f"id,name\n{unicodedata.normalize('NFC', 'José')},José\n", "utf-8")
    report = transfer.import_from(gallery, tmp_path / "data", names=path)
    assert (report.rejected, report.unnamed) == ((), ())
    assert gallery.person("José").name == "José"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no column of ids"),
        (b"\n", "no column of ids"),
        (b"first,last\na,b\n", "'first,last'"),
        (b"id,name\na,\xff\n", "UTF-8"),
        (b'id,name\na,"b\n', "not a CSV"),
        (b"id,name\na," + b"x" * 200_000, "field larger"),
        ("id,name\na,b".encode("utf-16"), "UTF-8"),
    ],
)
def test_a_file_that_is_not_a_csv_is_refused(
    content: bytes, match: str, folder: Path, gallery: Gallery, tmp_path: Path
) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    with pytest.raises(ImportFileError, match=match):
        transfer.import_from(gallery, folder, names=path)
    assert gallery.people() == []


def test_rejected_lines_are_named(folder: Path, gallery: Gallery, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,name\nayu,A\nayu,B\n,C\nbudi,B,x\n\n   ,  \nciTra\ncitra\n", "utf-8")
    report = transfer.import_from(gallery, folder, names=path)
    assert gallery.person("ayu").name == "A"
    assert [rejection.text.rpartition(" ")[2] for rejection in report.rejected] == ["3", "4", "5", str(path)]
    assert report.unnamed == ("budi",)


@given(st.text(max_size=200) | st.text(alphabet='id,name;"\r\n\t\0x', max_size=200))
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arbitrary_text_raises_only_our_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(("id,name\n" + text).encode("utf-8", "surrogatepass"))
    try:
        read = people_csv.read(path)
    except TransferError:
        return
    assert all(person_id == people_csv.normalize(person_id).strip() for person_id in read.details)


def test_other_files_and_arguments_are_refused(tmp_path: Path, gallery: Gallery) -> None:
    with pytest.raises(ImportFileError, match="cannot be read"):
        transfer.import_from(gallery, tmp_path / "nowhere")
    (tmp_path / "x").write_bytes(b"hello")
    with pytest.raises(ImportFileError, match="of no known kind"):
        transfer.import_from(gallery, tmp_path / "x")
    for wrong in ({"kind": "zip"}, {"on_existing": "x"}, {"faces": "x"}, {"same_pack": 7}):
        with pytest.raises(ArgumentError):
            transfer.import_from(gallery, tmp_path / "x", **wrong)  # type: ignore[arg-type]


def test_details_of_a_batch_are_checked(gallery: Gallery) -> None:
    entry = ("ayu", [people.PICTURES["ayu"][0]], {"email": "a@b", "info": {"n": 1}})
    asyncio.run(gallery.aregister_many([entry]))
    assert (gallery.person("ayu").email, gallery.person("ayu").info) == ("a@b", {"n": 1})
    answer = gallery.register_many([("budi", [people.PICTURES["budi"][0]], {"mail": "x"})])[0]
    assert isinstance(answer, ArgumentError)
    assert "'mail'" in str(answer)
