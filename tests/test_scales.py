"""Old scales and a pack's: equal false match rates, order, there and back, clamping; and the probability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facedex import packs
from facedex._core import PackInfo, read_manifest
from facedex.errors import ArgumentError, ManifestError, PackScoresError
from facedex.evaluate import score_table
from facedex.evaluate.__main__ import main
from facedex.scales import ARCFACE_R18, ARCFACE_R50, ARCFACE_R100, DLIB, Calibration, Scale, ScaleMap

MEASURED = ("base", "classic", "mobile")
SCALES = (DLIB, ARCFACE_R18, ARCFACE_R50, ARCFACE_R100)
MAPS = [ScaleMap(packs.info(pack).info, scale) for pack in (*MEASURED, "buffalo_l") for scale in SCALES]
maps = st.sampled_from(MAPS)
numbers = st.floats(-3, 3)


@given(maps, numbers, numbers)
def test_order_is_kept_in_both_directions(scale_map: ScaleMap, one: float, other: float) -> None:
    sign = -1 if scale_map.scale.is_distance else 1
    low, high = sorted([one, other])
    assert sign * scale_map.to_pack(low) <= sign * scale_map.to_pack(high)
    assert sign * scale_map.from_pack(low) <= sign * scale_map.from_pack(high)


@given(maps, st.floats(0, 1))
def test_scales_are_invertible_within_the_range(scale_map: ScaleMap, share: float) -> None:
    low, high = scale_map.range
    value = low + share * (high - low)
    assert scale_map.from_pack(scale_map.to_pack(value)) == pytest.approx(value, abs=1e-9)


@given(maps, numbers, st.floats(-1, 1))
def test_similarities_keep_their_side_of_a_cutoff(scale_map: ScaleMap, cutoff: float, similarity: float) -> None:
    """What reaches the mapped cut-off on the pack's scale reaches the client's own on the old one."""
    low, high = scale_map.range
    cutoff = min(max(cutoff, low), high)
    sign = -1 if scale_map.scale.is_distance else 1
    if similarity >= scale_map.to_pack(cutoff) + 1e-9:
        assert sign * scale_map.from_pack(similarity) >= sign * cutoff - 1e-7
    elif similarity < scale_map.to_pack(cutoff) - 1e-9:
        assert sign * scale_map.from_pack(similarity) <= sign * cutoff + 1e-7


@given(maps, st.floats(0, 1e6))
def test_values_outside_the_range_are_clamped(scale_map: ScaleMap, beyond: float) -> None:
    low, high = scale_map.range
    assert scale_map.to_pack(low - beyond) == scale_map.to_pack(low)
    assert scale_map.to_pack(high + beyond) == scale_map.to_pack(high)
    assert scale_map.from_pack(1 + beyond) == scale_map.scale.same
    assert low <= scale_map.from_pack(-1 - beyond) <= high


@pytest.mark.parametrize("pack", MEASURED)
@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)
def test_equal_false_match_rates_map_to_each_other(pack: str, scale: Scale) -> None:
    scores = packs.info(pack).info.scores
    assert scores is not None
    old, new = dict(scale.points), dict(scores.impostor)
    shared = old.keys() & new.keys()
    assert {0.5, 1e-2, 1e-3, 1e-4, 1e-5} <= shared
    scale_map = ScaleMap(packs.info(pack).info, scale)
    for rate in shared:
        assert scale_map.to_pack(old[rate]) == pytest.approx(new[rate], abs=1e-9)
        assert scale_map.from_pack(new[rate]) == pytest.approx(old[rate], abs=1e-9)


def test_a_raw_cutoff_of_dlib_matches_everybody_and_the_mapped_one_does_not() -> None:
    classic = packs.info("classic").info
    cut = ScaleMap(classic, DLIB).to_pack(0.6)
    assert classic.scores is not None
    rates = {value: rate for rate, value in classic.scores.impostor}
    below, above = (min(v for v in rates if v >= cut), max(v for v in rates if v <= cut))
    assert rates[below] <= 5.6e-3 <= rates[above]
    assert ScaleMap(classic, DLIB).from_pack(1.0) == 0.0


@pytest.mark.parametrize(
    ("pack", "scale"), [("buffalo_l", ARCFACE_R50), ("arcface_r18", ARCFACE_R18), ("arcface_r100", ARCFACE_R100)]
)
@given(value=st.floats(-1, 1))
def test_the_own_scale_of_a_pack_is_the_identity(pack: str, scale: Scale, value: float) -> None:
    scale_map = ScaleMap(packs.info(pack).info, scale)
    assert scale_map.identity
    assert scale_map.to_pack(value) == value == scale_map.from_pack(value)


def test_a_pack_without_scores_is_refused_with_the_command() -> None:
    for make in (lambda: ScaleMap(packs.info("facenet").info, DLIB), lambda: Calibration(packs.info("facenet").info)):
        with pytest.raises(PackScoresError, match=r"facedex\.evaluate --pack facenet --scores"):
            make()


def test_a_value_that_is_not_a_number_is_refused() -> None:
    for ask in (MAPS[0].to_pack, MAPS[0].from_pack):
        with pytest.raises(ArgumentError, match="nan"):
            ask(math.nan)


@pytest.mark.parametrize("pack", MEASURED)
@given(one=numbers, other=numbers)
def test_a_probability_never_decreases(pack: str, one: float, other: float) -> None:
    calibration = Calibration(packs.info(pack).info)
    low, high = sorted([one, other])
    assert 0 < calibration.probability(low) <= calibration.probability(high) < 1


@dataclass
class Drawn:
    """A pack whose scores were drawn from two normal distributions."""

    name: str
    scores: object


@pytest.mark.parametrize("prior", [0.5, 0.1])
def test_a_probability_is_the_share_of_genuine_pairs(prior: float) -> None:
    rng = np.random.default_rng(7)
    genuine, impostor = NormalDist(0.6, 0.1), NormalDist(0.2, 0.1)
    table = score_table(rng.normal(0.6, 0.1, 20_000), rng.normal(0.2, 0.1, 200_000), "drawn")
    calibration = Calibration(Drawn("drawn", table), prior=prior)  # type: ignore[arg-type]
    for similarity in np.arange(0.3, 0.55, 0.05).tolist():
        mine, theirs = prior * genuine.pdf(similarity), (1 - prior) * impostor.pdf(similarity)
        assert calibration.probability(similarity) == pytest.approx(mine / (mine + theirs), abs=0.06)


def test_the_table_ends_where_the_data_end() -> None:
    rng = np.random.default_rng(7)
    table = score_table(rng.normal(0.6, 0.1, 1000), rng.normal(0.2, 0.1, 5000), "drawn")
    assert table.impostor[-1][0] == 1e-3  # 5e-4 is less than 3 in 5,000
    assert (table.genuine[0][0], table.genuine[-1][0]) == (5e-3, 0.99)
    with pytest.raises(ArgumentError, match="too few"):
        score_table(rng.normal(0.6, 0.1, 1000), rng.normal(0.2, 0.1, 2), "drawn")


def manifest_with(tmp_path: Path, section: str) -> PackInfo:
    text = packs.find("classic").manifest.read_text().partition("[scores]")[0]
    (tmp_path / "own.toml").write_text(text + section)
    return read_manifest(tmp_path / "own.toml")


def test_a_printed_table_is_read_back_and_keeps_the_digest(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    table = score_table(rng.normal(0.6, 0.1, 1000), rng.normal(0.2, 0.1, 5000), "drawn")
    info = manifest_with(tmp_path, table.toml())
    assert info.scores is not None
    assert (info.scores.data, info.scores.impostor_pairs, info.scores.genuine_pairs) == ("drawn", 5000, 1000)
    assert tuple(info.scores.impostor) == table.impostor
    assert tuple(info.scores.genuine) == table.genuine
    assert info.digest == packs.info("classic").info.digest == manifest_with(tmp_path, "").digest


def test_a_rate_below_the_data_is_refused(tmp_path: Path) -> None:
    section = (
        '[scores]\ndata = "x"\nimpostor_pairs = 1000\ngenuine_pairs = 1000\n'
        "impostor = [[0.5, 0.1], [0.001, 0.4]]\ngenuine = [[0.1, 0.5], [0.5, 0.6]]\n"
    )
    with pytest.raises(ManifestError, match="1000 comparisons cannot show"):
        manifest_with(tmp_path, section)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("pack", ["base", "classic"])
def test_the_command_prints_the_table_of_the_manifest(
    pack: str, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--pack", pack, "--scores", "--subset", str(shared / "faces" / "lfw-subset")]) == 0
    printed = capsys.readouterr().out
    written = packs.find(pack).manifest.read_text()
    assert printed.split() == written[written.index("[scores]") : written.index("[prior]")].split()
