from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_ssl.data.faces.action_units import SPACE
from fer_ssl.data.faces.domains import BLOCK, POOL_PRIORS, draw_block, draw_labels, split_rows, studio, wild

EVEN = dict.fromkeys(SPACE.classes, 1.0)


@given(start=st.integers(0, 5000), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_any_run_of_labels_follows_the_priors(start, seed):
    domain = wild(POOL_PRIORS)
    labels = draw_labels(domain, "pool", seed, torch.arange(start, start + 500))
    shares = labels.bincount(minlength=7) / 500
    torch.testing.assert_close(shares, torch.tensor(domain.priors) / sum(domain.priors), atol=0.012, rtol=0)


def test_labels_depend_on_the_row_alone():
    rows = torch.arange(300)
    labels = draw_labels(wild(EVEN), "pool", 3, rows)
    assert torch.equal(draw_labels(wild(EVEN), "pool", 3, rows[200:]), labels[200:])
    assert not torch.equal(draw_labels(wild(EVEN), "pool", 4, rows), labels)


def test_studio_is_as_imbalanced_as_asked():
    priors = torch.tensor(studio(10.0).priors)
    assert SPACE.classes[int(priors.argmax())] == "happiness"
    assert SPACE.classes[int(priors.argmin())] == "fear"
    assert priors.max() / priors.min() == pytest.approx(10.0)
    assert len(set(studio(1.0).priors)) == 1


def test_faces_of_a_subject_share_the_person_and_differ_in_the_rest():
    domain = studio(1.0)
    portraits = draw_block(domain, "train", 0, 0)
    size = domain.faces_per_subject
    for field in fields(portraits.person):
        values = getattr(portraits.person, field.name)
        assert (values[:size] == values[:1]).all(), field.name
    assert not torch.equal(portraits.person.skin[0], portraits.person.skin[size])
    assert len(set(portraits.labels[:size].tolist())) == 7
    assert portraits.scene.yaw[:size].unique().numel() == size


def test_the_wild_varies_more_than_the_studio():
    posed, free = draw_block(studio(1.0), "train", 0, 0).scene, draw_block(wild(EVEN), "pool", 0, 0).scene
    for name in ("yaw", "pitch", "roll", "shift_x", "light_x", "exposure", "blur", "noise"):
        assert getattr(free, name).std() > 1.5 * getattr(posed, name).std(), name
    assert posed.occluded.sum() == 0 < free.occluded.sum()


def test_splits_and_seeds_draw_other_people():
    skins = [draw_block(wild(EVEN), split, seed, 0).person.skin for split, seed in
             [("val", 0), ("test", 0), ("val", 1)]]  # fmt: skip
    assert not torch.equal(skins[0], skins[1])
    assert not torch.equal(skins[0], skins[2])


def test_split_rows_keeps_every_face_in_order():
    portraits = draw_block(wild(EVEN), "pool", 0, 2)
    parts = list(split_rows(portraits, 100))
    assert [len(part.labels) for part in parts] == [100, 100, BLOCK - 200]
    assert torch.equal(torch.cat([part.units[12] for part in parts]), portraits.units[12])
    assert torch.equal(torch.cat([part.scene.cast for part in parts]), portraits.scene.cast)
    assert torch.equal(torch.cat([part.person.hair for part in parts]), portraits.person.hair)
