"""Liveness compared with the networks' arithmetic in NumPy and ONNX Runtime; attacks that the shipped networks stop."""

from __future__ import annotations

import csv
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from facedex import Analysis, Engine, Enrolment, Face, Gallery, errors

pytestmark = pytest.mark.shared

MANIFEST = Path(__file__).parents[2] / "models" / "liveness.toml"
WEIGHTS = {2.7: "minifasnet_v2_2.7_80x80.onnx", 4.0: "minifasnet_v1se_4.0_80x80.onnx"}
# The manifest names published conversions of the checkpoints, the shared folder holds others of the same: what tells
# them apart is replaced, all else is as shipped.
CONVERSIONS = {
    "MiniFASNetV2.onnx": WEIGHTS[2.7],
    "MiniFASNetV1SE.onnx": WEIGHTS[4.0],
    "size = 1743581": "size = 1744116",
    "size = 1742335": "size = 1743284",
    "b32929adc2d9c34b9486f8c4c7bc97c1b69bc0ea9befefc380e4faae4e463907": (
        "bfc9c10f150167c2fa6690483b85991431e1f82bc11c556cacbe252657688fc1"
    ),
    "ebab7f90c7833fbccd46d3a555410e78d969db5438e169b6524be444862b3676": (
        "bf3368cf051ddacd7bb34423fdd765a1c4b4ae6cc92c63fc715806d0f7d85c1e"
    ),
    'outputs = ["output"]': 'outputs = ["logits"]',
}

LIVE = [
    "doubango_genuine.jpg",
    "minivision_T1.jpg",
    "vietmoney_true_001.jpg",
    "vietmoney_true_002.jpg",
    "vietmoney_true_003.png",
]
# Flat prints and screens.
STOPPED = [
    "doubango_spoof.jpg",
    "inspireface_rgb_fake.jpg",
    "kby_2.jpg",
    "minai_fake_monitor.jpg",
    "minai_old-1.jpg",
    "minivision_F1.jpg",
    "minivision_F2.jpg",
    "vietmoney_fake_002.jpg",
    "vietmoney_fake_003.jpg",
]
# Cut-outs, masks, disguise, a generated picture, and one screen.
NOT_STOPPED = [
    "doubango_deepfake.jpg",
    "doubango_disguise.jpg",
    "kby_1.jpg",
    "minai_fake_mask.jpg",
    "minai_fake_mask3d.jpg",
    "minai_fake_outline.jpg",
    "minai_fake_outline3d.jpg",
    "vietmoney_fake_001.jpg",
]

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def manifest(packs: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The shipped manifest with other conversions next to it; each change is a text and its replacement."""

    def made(changes: dict[str, str] | None = None) -> Path:
        folder = tmp_path_factory.mktemp("liveness")
        text = MANIFEST.read_text()
        for found, replacement in [*CONVERSIONS.items(), *(changes or {}).items()]:
            assert found in text
            text = text.replace(found, replacement)
        for name in WEIGHTS.values():
            (folder / name).symlink_to(packs.weights(name))
        (folder / "liveness.toml").write_text(text)
        return folder / "liveness.toml"

    return made


@pytest.fixture(scope="module")
def judging(manifest: Callable[..., Path]) -> Engine:
    return Engine("classic", add=[manifest()])


@pytest.fixture(scope="module")
def photos(shared: Path) -> dict[str, Pixels]:
    """The pictures of ``spoof``, upright; (height, width, 3), uint8 RGB."""
    folder = shared / "faces" / "spoof"
    with (folder / "labels.csv").open() as table:
        names = [row["file"] for row in csv.DictReader(table)]
    assert sorted(names) == sorted(LIVE + STOPPED + NOT_STOPPED)
    pictures = {}
    for name in names:
        with Image.open(folder / name) as picture:
            pictures[name] = np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    return pictures


def largest(analysis: Analysis) -> Face:
    assert analysis
    return analysis[0]


def box(face: Face) -> Box:
    x1, y1, x2, y2 = map(float, face.bbox)
    return x1, y1, x2, y2


def grown(picture: Pixels, bbox: Box, scale: float) -> Pixels:
    """MiniFASNet's crop as its authors define it: limited by the picture, then shifted inside it."""
    height, width = picture.shape[:2]
    x, y, w, h = bbox[0], bbox[1], bbox[2] - bbox[0], bbox[3] - bbox[1]
    scale = min((height - 1) / h, (width - 1) / w, scale)
    left, right = x + w / 2 - w * scale / 2, x + w / 2 + w * scale / 2
    top, low = y + h / 2 - h * scale / 2, y + h / 2 + h * scale / 2
    if left < 0:
        left, right = 0, right - left
    if top < 0:
        top, low = 0, low - top
    if right > width - 1:
        left, right = left - (right - width + 1), width - 1
    if low > height - 1:
        top, low = top - (low - height + 1), height - 1
    return picture[max(int(top), 0) : int(low) + 1, max(int(left), 0) : int(right) + 1]


def padded(picture: Pixels, bbox: Box, scale: float) -> Pixels:
    """The square over the longer side, black where the picture ends."""
    side = max(bbox[2] - bbox[0], bbox[3] - bbox[1]) * scale
    left, top = int((bbox[0] + bbox[2] - side) / 2), int((bbox[1] + bbox[3] - side) / 2)
    margin = int(side) + max(abs(left), abs(top))
    framed = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)))
    return framed[top + margin : top + margin + int(side), left + margin : left + margin + int(side)]


def resized(picture: Pixels, side: int) -> Pixels:
    """Bilinear between pixel centres, without averaging."""
    values = picture.astype(np.float64)
    for axis in (0, 1):
        length = values.shape[axis]
        at = np.clip((np.arange(side) + 0.5) * length / side - 0.5, 0, length - 1)
        low = np.floor(at).astype(int)
        part = np.expand_dims(at - low, axis=(1, 2) if axis == 0 else (0, 2))
        near, far = values.take(low, axis), values.take(np.minimum(low + 1, length - 1), axis)
        values = near + (far - near) * part
    return np.floor(values + 0.5).astype(np.uint8)


def live_probability(session: onnxruntime.InferenceSession, crop: Pixels, live: int, divisor: float) -> float:
    tensor = (crop.astype(np.float32) / divisor).transpose(2, 0, 1)[None]
    (logits,) = session.run(None, {"input": np.ascontiguousarray(tensor)})[0].astype(np.float64)
    powers = np.exp(logits - logits.max())
    return float(powers[live] / powers.sum())


def session(packs: Any, name: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(packs.weights(name), providers=["CPUExecutionProvider"])


def test_five_live_photos_pass_and_prints_and_screens_are_stopped(judging: Engine, photos: dict[str, Pixels]) -> None:
    found = {name: largest(judging.analyze(picture, embed=False, liveness=True)) for name, picture in photos.items()}
    assert all(face.liveness.status in ("live", "attack") for face in found.values())
    passed = sorted(name for name, face in found.items() if face.liveness.live)
    assert passed == sorted(LIVE + NOT_STOPPED)
    # Neither list hangs on a thread.
    scores = {name: face.liveness.score for name, face in found.items()}
    assert min(scores[name] for name in LIVE) > 0.8
    assert max(scores[name] for name in STOPPED) < 0.5, "the pack's threshold"
    assert 0.5 < scores["vietmoney_fake_001.jpg"] < 0.8


@pytest.mark.parametrize("detector", ["yunet_n", "retinaface", "scrfd_2.5g"])
def test_the_verdicts_are_the_same_with_the_boxes_of_other_detectors(
    packs: Any, manifest: Callable[..., Path], photos: dict[str, Pixels], detector: str
) -> None:
    engine = Engine(packs.manifest(f"detector/{detector}"), accept_license=packs.licence, add=[manifest()])
    found = {name: largest(engine.analyze(picture, embed=False, liveness=True)) for name, picture in photos.items()}
    assert sorted(name for name, face in found.items() if face.liveness.live) == sorted(LIVE + NOT_STOPPED)


def test_crops_are_those_of_the_reference(judging: Engine, photos: dict[str, Pixels]) -> None:
    limited = shifted = 0
    for picture in photos.values():
        height, width = picture.shape[:2]
        boxes = [box(face) for face in judging.analyze(picture, embed=False)]
        # In the corners, over the edges, and one that fills the picture.
        boxes += [(0.0, 0.0, 61.3, 80.9), (width - 70.2, height - 90.4, width - 1.0, height - 1.0)]
        boxes += [(-20.5, 40.0, 60.0, 133.7), (3.0, 5.0, width - 9.5, height - 2.5)]
        for bbox in boxes:
            for crop, scale in zip(judging.liveness_crops(picture, bbox), WEIGHTS, strict=True):
                reference = grown(picture, bbox, scale)
                limited += (bbox[3] - bbox[1]) * scale > height
                shifted += (bbox[0] + bbox[2]) / 2 < (bbox[2] - bbox[0]) * scale / 2
                difference = np.abs(crop.astype(int) - resized(reference, 80))
                assert difference.max() <= 1
                assert difference.mean() < 0.05
    assert limited > 20
    assert shifted > 20


def test_crops_are_those_of_opencv(judging: Engine, photos: dict[str, Pixels], cv2: ModuleType) -> None:
    for picture in photos.values():
        bbox = box(largest(judging.analyze(picture, embed=False)))
        for crop, scale in zip(judging.liveness_crops(picture, bbox), WEIGHTS, strict=True):
            assert np.abs(crop.astype(int) - cv2.resize(grown(picture, bbox, scale), (80, 80))).max() <= 1


def test_scores_are_those_of_the_networks(judging: Engine, packs: Any, photos: dict[str, Pixels]) -> None:
    sessions = {scale: session(packs, name) for scale, name in WEIGHTS.items()}
    for picture in photos.values():
        face = largest(judging.analyze(picture, embed=False, liveness=True))
        crops = judging.liveness_crops(picture, face.bbox)
        each = [
            live_probability(sessions[scale], crop[..., ::-1], live=1, divisor=1.0)
            for scale, crop in zip(WEIGHTS, crops, strict=True)
        ]
        assert face.liveness.score == pytest.approx(np.mean(each), abs=1e-5)
        assert face.liveness.threshold == 0.5


def test_the_wrong_colour_order_lets_attacks_through(manifest: Callable[..., Path], photos: dict[str, Pixels]) -> None:
    swapped = Engine("classic", add=[manifest({'"bgr"': '"rgb"'})])
    found = [largest(swapped.analyze(photos[name], embed=False, liveness=True)) for name in STOPPED]
    assert any(face.liveness.live for face in found)


@pytest.mark.parametrize("kind", ["binary", "print_replay"])
def test_the_networks_of_128_pixels(packs: Any, photos: dict[str, Pixels], kind: str) -> None:
    engine = Engine("classic", accept_license=packs.licence, add=[packs.manifest(f"liveness/{kind}")])
    name = {"binary": "bin", "print_replay": "print-replay"}[kind]
    network = session(packs, f"AntiSpoofing_{name}_1.5_128.onnx")
    scores = {}
    for photo, picture in photos.items():
        face = largest(engine.analyze(picture, embed=False, liveness=True))
        (crop,) = engine.liveness_crops(picture, face.bbox)
        assert np.abs(crop.astype(int) - resized(padded(picture, box(face), 1.5), 128)).max() <= 1
        scores[photo] = face.liveness.score
        assert scores[photo] == pytest.approx(live_probability(network, crop, live=0, divisor=255.0), abs=1e-5)
    assert scores["minivision_T1.jpg"] > 0.9
    assert max(scores["minivision_F1.jpg"], scores["minivision_F2.jpg"]) < 0.1


def test_a_face_over_the_edge_is_padded_with_black(packs: Any, photos: dict[str, Pixels]) -> None:
    engine = Engine("classic", accept_license=packs.licence, add=[packs.manifest("liveness/binary")])
    picture = np.maximum(photos["minivision_T1.jpg"], 1)
    height, width = picture.shape[:2]
    bbox = (width - 90.0, height - 120.0, width - 1.0, height - 1.0)
    (crop,) = engine.liveness_crops(picture, bbox)
    assert np.abs(crop.astype(int) - resized(padded(picture, bbox, 1.5), 128)).max() <= 1
    assert (crop[-1] == 0).all()
    assert (crop[0, 0] > 0).all()


def test_unknown_liveness_is_reported_or_refused(judging: Engine, photos: dict[str, Pixels]) -> None:
    photo = Image.fromarray(photos["minivision_T1.jpg"])
    x1, y1, x2, y2 = box(largest(judging.analyze(photo, embed=False)))
    small = photo.resize((photo.width // 4, photo.height // 4), Image.Resampling.LANCZOS)
    filling = photo.crop((int(x1), int(y1), int(x2) + 1, int(y2) + 1))
    for picture, words in ((small, "under 48 pixels"), (filling, "fills the image|cut off")):
        face = largest(judging.analyze(picture, min_face=20, embed=False, liveness="advisory"))
        assert (face.liveness.status, face.liveness.live, face.liveness.score) == ("unavailable", False, None)
        with pytest.raises(errors.LivenessError, match=words) as caught:
            judging.analyze(picture, min_face=20, embed=False, liveness="required")
        assert caught.value.code == "liveness_unavailable"
    (refused,) = judging.analyze_many([small], min_face=20, embed=False, liveness="required")
    assert isinstance(refused, errors.LivenessError)
    assert judging.analyze(photo, embed=False, liveness="required")[0].liveness.live


def test_an_addition_changes_no_embedding(judging: Engine, photos: dict[str, Pixels]) -> None:
    engine = Engine("classic")
    assert judging.pack.digest == engine.pack.digest
    assert [(pack.name, pack.roles) for pack in judging.added] == [("liveness", ["liveness"])]
    picture = photos["vietmoney_true_001.jpg"]
    plain, judged = engine.analyze(picture)[0], judging.analyze(picture, liveness=True, quality=True)[0]
    np.testing.assert_array_equal(plain.embedding, judged.embedding)
    assert plain.liveness is None
    assert plain.quality is None
    assert pickle.loads(pickle.dumps(judged)) == judged
    assert pickle.loads(pickle.dumps(judged.liveness)) == judged.liveness != plain.liveness


def test_an_addition_is_verified_and_must_bring_something(manifest: Callable[..., Path], tmp_path: Path) -> None:
    path = manifest()
    with pytest.raises(errors.ArgumentError, match='that the pack lacks, got "liveness" with liveness'):
        Engine(add=[path, path])
    with pytest.raises(errors.ArgumentError, match='got "classic" with detector, embedder'):
        Engine("classic", add=["classic"])
    assert [pack.name for pack in Engine(add=str(path)).added] == ["liveness"]  # a text is one pack
    with pytest.raises(errors.NetworkError, match=r"values per row of output \"logits\": expected 4, found \[3\]"):
        Engine(add=[manifest({"classes = 3": "classes = 4"})])
    shutil.copytree(path.parent, tmp_path / "altered")
    altered = tmp_path / "altered" / WEIGHTS[2.7]
    content = bytearray(altered.read_bytes())
    content[-1] ^= 1
    altered.write_bytes(content)
    with pytest.raises(errors.WeightsDigestError, match=WEIGHTS[2.7].replace(".", r"\.")):
        Engine(add=[tmp_path / "altered" / "liveness.toml"])


def test_a_gallery_registers_and_names_only_live_faces(
    judging: Engine, photos: dict[str, Pixels], tmp_path: Path
) -> None:
    live, stopped = photos[LIVE[1]], photos["minivision_F1.jpg"]
    rules = Enrolment(require_liveness=True, duplicates="ignore")
    with Gallery.open(tmp_path / "people.db", engine=judging, enrolment=rules) as gallery:
        gallery.register("ayu", live, faces="largest")
        with pytest.raises(errors.FaceNotLiveError, match="show the face itself") as refused:
            gallery.register("budi", stopped, faces="largest")
        score = largest(judging.analyze(stopped, embed=False, liveness=True)).liveness.score
        assert (refused.value.measured, refused.value.limit) == (pytest.approx(score), 0.5)
    # Enrolled without the rule, the very picture of an attack is found again: only liveness keeps it out.
    with Gallery.open(tmp_path / "people.db", engine=judging) as gallery:
        gallery.register("budi", stopped, faces="largest", on_existing="error")
        for asked, known in ((False, True), ("advisory", True), ("required", False)):
            face = gallery.recognize(stopped, liveness=asked)[0]
            verified = gallery.verify("budi", stopped, faces="largest", liveness=asked)
            assert (face.person_id, verified.match) == (("budi", True) if known else (None, False)), asked
            assert face.similarity == pytest.approx(1, abs=1e-4)
            assert (face.liveness is None) is (asked is False)
        assert gallery.recognize(live, liveness="required")[0].person_id == "ayu"
        assert gallery.verify("ayu", live, faces="largest", liveness="required").match
