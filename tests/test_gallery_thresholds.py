"""The thresholds of a gallery: default, own people, stored basis, audit, and what every answer states."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from place import Place

from facedex import FMR, FPIR, Decision, Engine, Enrolment, Gallery, people
from facedex.errors import ArgumentError, RateError, UnknownPersonError
from facedex.thresholds import at_least_one

AYU, BUDI = people.PICTURES["ayu"], people.PICTURES["budi"]
PROBE = people.PROBES["ayu"][0]


@pytest.fixture
def gallery(place: Place, engine: Engine) -> Iterator[Gallery]:
    with Gallery.open(place.location, engine=engine, enrolment=Enrolment(duplicates="ignore")) as opened:
        yield opened


def made(number: int, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors of made people, who resemble each other no more than chance has it."""
    vectors = np.random.default_rng(seed).normal(size=(number, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def fill(gallery: Gallery, first: int, last: int, dimension: int) -> None:
    """Register made people by their templates."""
    for number, vector in enumerate(made(last, dimension)[first:], first):
        gallery.register_templates(f"made-{number}", vector[None])


def moves(gallery: Gallery) -> list[tuple[int, float, float | None]]:
    """The moves in the audit: people, previous threshold, new threshold."""
    return [
        (event.facts["people"], event.facts["previous"], event.threshold)
        for event in gallery.audit()
        if event.kind == "threshold"
    ]


def test_the_default_is_a_rate_over_all_people_and_never_looser_than_one_in_a_thousand(
    gallery: Gallery, engine: Engine
) -> None:
    assert engine.prior is not None
    gallery.register("ayu", AYU[0])
    few = gallery.decide()
    assert (few.rule, few.origin, few.people) == ("fpir=0.01", "prior", 1)
    assert few.threshold == pytest.approx(engine.prior.tail().threshold(1e-3))
    assert few.expected == pytest.approx(1e-3, rel=1e-3)
    assert few.low is not None and few.high is not None and few.low < 1e-3 < few.high  # noqa: PT018
    fill(gallery, 0, 39, engine.dimension)
    many = gallery.decide()
    assert many.people == 40
    assert many.threshold > few.threshold
    assert many.expected == pytest.approx(0.01, rel=0.3)  # the threshold lags by up to a quarter of the people


def test_a_rate_of_a_comparison_may_be_capped_otherwise(place: Place, engine: Engine) -> None:
    assert engine.prior is not None
    with Gallery.open(place.location, engine=engine, max_fmr=1e-4) as strict:
        assert strict.decide().threshold == pytest.approx(engine.prior.tail().threshold(1e-4))


def test_every_answer_states_its_decision(gallery: Gallery, engine: Engine) -> None:
    gallery.register("ayu", AYU)
    found = gallery.recognize(PROBE)
    assert found.decision == found[0].decision == gallery.decide()
    assert found[0].threshold == gallery.decide().threshold
    verified = gallery.verify("ayu", PROBE)
    assert verified.decision is not None
    assert (verified.decision.rule, verified.decision.people) == ("fmr=0.0001", 1)
    assert verified.decision.expected == pytest.approx(1e-4, rel=1e-3)
    assert verified.threshold == verified.decision.threshold > found[0].threshold
    compared = engine.compare(AYU[0], PROBE)
    assert compared.decision is not None
    assert compared.decision.rule == "fmr=0.0001"
    assert found.to_dict()["decision"]["origin"] == "prior"
    assert verified.to_dict()["decision"].keys() == set(Decision.__dataclass_fields__)


def test_the_rule_of_a_call_and_of_the_gallery(place: Place, gallery: Gallery, engine: Engine) -> None:
    gallery.register("ayu", AYU[0])
    fixed = gallery.recognize(PROBE, threshold=0.5)
    assert fixed.decision is not None
    assert (fixed[0].threshold, fixed.decision.origin) == (0.5, "fixed")
    assert gallery.recognize(PROBE, threshold=FMR(1e-4)).decision == gallery.decide("fmr=1e-4")
    assert gallery.verify("ayu", PROBE, threshold="fmr=1e-3").threshold < gallery.verify("ayu", PROBE).threshold
    with Gallery.open(place.location, engine=engine, threshold="fpir=0.05") as loose:
        assert loose.decide().rule == "fpir=0.05"
        assert loose.verify("ayu", PROBE).decision == gallery.verify("ayu", PROBE).decision
    with Gallery.open(place.location, engine=engine, threshold=0.6) as pinned:
        assert pinned.recognize(PROBE)[0].threshold == pinned.verify("ayu", PROBE).threshold == 0.6
    for wrong in (2, "fpr=0.1", "fpir=2"):
        with pytest.raises(ArgumentError):
            gallery.recognize(PROBE, threshold=wrong)


def test_a_rate_that_the_data_cannot_support_is_refused_with_the_people_it_takes(
    place: Place, gallery: Gallery, engine: Engine
) -> None:
    gallery.register("ayu", AYU[0])
    with pytest.raises(RateError, match="it takes 24,496 people"):
        gallery.recognize(PROBE, threshold=FMR(1e-9))
    with pytest.raises(RateError):
        Gallery.open(place.location, engine=engine, threshold=FPIR(1e-8))


def test_the_basis_moves_with_a_quarter_of_the_people_is_stored_and_each_move_is_in_the_audit(
    place: Place, gallery: Gallery, engine: Engine
) -> None:
    fill(gallery, 0, 40, engine.dimension)
    before = moves(gallery)
    assert before
    assert [people for people, *_ in before] == sorted({people for people, *_ in before})
    assert len(before) < 12  # of 40 registrations
    last, _, threshold = before[-1]
    for people_now in range(41, int(last * 1.25)):
        fill(gallery, people_now - 1, people_now, engine.dimension)
        assert gallery.decide().threshold == pytest.approx(threshold, abs=1e-5)  # not moved
    assert moves(gallery) == before
    with Gallery.open(place.location, engine=engine) as other:
        assert other.decide() == gallery.decide()
    for number in range(30):
        gallery.delete(f"made-{number}")
    after = moves(gallery)
    assert len(after) > len(before)
    assert after[-1][2] is not None
    assert after[-1][2] < after[-1][1]
    with Gallery.open(place.location, engine=engine) as other:
        assert other.decide() == gallery.decide()


def test_own_people_make_a_tail_of_their_own(place: Place, gallery: Gallery, engine: Engine) -> None:
    """The made people resemble each other less than real ones, so their thresholds are lower."""
    assert engine.prior is not None
    fill(gallery, 0, 80, engine.dimension)
    decision = gallery.decide()
    assert decision.origin == "both"
    rate = FPIR(0.01).fmr(80, 1e-3)
    assert decision.threshold < engine.prior.tail().threshold(rate) - 0.01
    with Gallery.open(place.location, engine=engine) as other:
        assert other.decide() == decision
    assert decision.expected is not None
    assert decision.expected < at_least_one(2 * rate, 80)


def test_a_decision_is_chosen_once_for_each_state_of_the_gallery(gallery: Gallery, engine: Engine) -> None:
    fill(gallery, 0, 3, engine.dimension)
    before = gallery.decide()
    assert gallery.decide() is before
    assert gallery.decide("fmr=1e-4") is gallery.decide(FMR(1e-4)) is not before
    fill(gallery, 3, 4, engine.dimension)
    assert (before.people, gallery.decide().people) == (3, 4)


def test_one_person_under_two_ids_is_named_by_the_threshold_of_the_gallery(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as opened:
        opened.register("ayu", AYU[0])
        threshold = opened.decide().threshold
        (warning,) = opened.register("twin", AYU[1]).warnings
        assert (warning.person_id, warning.threshold) == ("ayu", threshold)


def test_signing_in_is_stricter_than_recognizing_and_verifying(gallery: Gallery, engine: Engine) -> None:
    gallery.register("ayu", AYU[0])
    strict = gallery.decide_sign_in()
    assert strict.rule == "fmr=1e-05"
    assert strict.threshold > gallery.verify("ayu", PROBE).threshold > gallery.decide().threshold
    assert gallery.decide_sign_in("ayu").threshold == strict.threshold
    with pytest.raises(UnknownPersonError):
        gallery.decide_sign_in("nobody")


@pytest.mark.parametrize(("given", "rule"), [(0.2, "fmr=1e-05"), (0.9, "0.9"), (FMR(5e-6), "fmr=5e-06")])
def test_signing_in_is_never_looser_than_verifying(place: Place, engine: Engine, given: float | FMR, rule: str) -> None:
    with Gallery.open(place.location, engine=engine, threshold=given) as opened:
        opened.register("ayu", AYU[0])
        for decision in (opened.decide_sign_in(), opened.decide_sign_in("ayu")):
            assert decision.rule == rule
            assert decision.threshold >= opened.verify("ayu", PROBE).threshold


def test_signing_in_reads_the_tail_of_as_many_pictures_as_the_person_has(gallery: Gallery, engine: Engine) -> None:
    assert engine.prior is not None
    several = made(3, engine.dimension)
    gallery.register_templates("one", several[:1])
    gallery.register_templates("three", several)
    for person_id, faces in (("one", 1), ("three", 3)):
        expected = engine.prior.tail(faces).threshold(1e-5)
        assert gallery.decide_sign_in(person_id).threshold == pytest.approx(expected)
        expected = engine.prior.tail(faces).threshold(1e-4)
        assert gallery.decide(person_id=person_id).threshold == pytest.approx(expected)


def test_a_damaged_basis_is_counted_again(place: Place, gallery: Gallery, engine: Engine) -> None:
    fill(gallery, 0, 20, engine.dimension)
    place.execute("UPDATE galleries SET basis = 'x'")
    with Gallery.open(place.location, engine=engine) as other:
        assert other.decide().people == 20
        assert other.decide().threshold == pytest.approx(gallery.decide().threshold, abs=0.02)
        fill(other, 20, 21, engine.dimension)
        assert other.decide().origin == "prior"


def test_a_migration_renews_the_basis_and_writes_the_move_to_the_audit(place: Place, engine: Engine) -> None:
    other = Engine("base" if engine.pack.name == "classic" else "classic")
    with Gallery.open(place.location, engine=engine, photos="original") as gallery:
        gallery.register("ayu", AYU[0])
        gallery.register("budi", BUDI[0])
        before = gallery.decide().threshold
        assert gallery.migrate(engine=other).swapped
        ((stored,),) = place.rows("SELECT basis FROM galleries")
        basis = json.loads(stored)
        assert (basis["pack"], basis["people"], basis["faces"]) == (other.pack.digest, 2, 2)
        kinds = [event.kind for event in gallery.audit()]
        assert kinds[kinds.index("migrate") + 1] == "threshold"
        ((number, old, new),) = moves(gallery)
        assert (number, old) == (2, pytest.approx(before, abs=1e-5))
        assert new == pytest.approx(gallery.decide().threshold, abs=1e-5)


def test_one_picture_under_many_ids_changes_no_threshold_and_can_be_deleted(gallery: Gallery, engine: Engine) -> None:
    vector = made(1, engine.dimension)
    for number in range(80):
        gallery.register_templates(f"made-{number}", vector)
    assert gallery.decide().origin == "prior"
    for number in range(30):
        gallery.delete(f"made-{number}")
    assert gallery.decide().people == 50
