"""The contact sheet shows what was stored, and why the rest was not."""

from pathlib import Path

import numpy as np
import pytest
from packing import packed, scene
from pages import Page
from PIL import Image

from fer_ssl.data.preparing.samples import accepted_samples, kind, rejected_samples
from fer_ssl.reports.contact_sheet import write_sheet


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    (root / "glad").mkdir(parents=True)
    for number in range(5):
        scene(number).save(root / "glad" / f"p{number}.jpg", quality=92)
    (root / "glad" / "z_empty.jpg").write_bytes(b"")
    Image.new("RGB", (160, 160)).save(root / "glad" / "z_nobody.png")
    (root / "glad" / "z_twin.jpg").write_bytes((root / "glad" / "p0.jpg").read_bytes())
    return root


def test_accepted_faces_are_those_stored_evenly_spaced(photos: Path, tmp_path: Path) -> None:
    packed(photos, tmp_path / "out")
    total, samples = accepted_samples(tmp_path / "out", 3)
    assert total == 5
    assert [sample.name for sample in samples] == ["glad/p0.jpg", "glad/p2.jpg", "glad/p4.jpg"]
    stored = np.asarray(scene(2))[24:136, 24:136].astype(float)
    assert samples[1].picture is not None
    assert np.abs(np.asarray(samples[1].picture) - stored).mean() < 4
    assert samples[0].text.startswith("glad; score 0.90, 112 px, sharpness ")


def test_rejected_photos_are_grouped_by_reason(photos: Path, tmp_path: Path) -> None:
    packed(photos, tmp_path / "out")
    groups = rejected_samples(tmp_path / "out", photos, 4)
    told = {name: (total, [(each.name, each.picture is None) for each in few]) for name, (total, few) in groups.items()}
    assert told == {
        "duplicate": (1, [("glad/z_twin.jpg", False)]),
        "no face": (1, [("glad/z_nobody.png", False)]),
        "unreadable": (1, [("glad/z_empty.jpg", True)]),
    }


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("too small: 20 px", "too small"),
        ("duplicate of a/b: c.jpg", "duplicate"),
        ("looks like a.jpg", "looks like"),
        ("no face", "no face"),
    ],
)
def test_a_kind_of_reason_has_no_measure_or_name(reason: str, expected: str) -> None:
    assert kind(reason) == expected


def test_the_sheet_is_one_file_and_the_same_again(photos: Path, tmp_path: Path) -> None:
    packed(photos, tmp_path / "out")
    for name in ("one.html", "two.html"):
        accepted, rejected = accepted_samples(tmp_path / "out", 2), rejected_samples(tmp_path / "out", photos, 2)
        write_sheet(tmp_path / name, {"photos": 8, "accepted": 5}, accepted, rejected)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    page = Page((tmp_path / "one.html").read_text())
    assert "Faces as they are stored (2 of 5)" in page.text
    assert len(page.links) == 4
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)


def test_a_sheet_without_an_accepted_face_says_so(photos: Path, tmp_path: Path) -> None:
    write_sheet(tmp_path / "sheet.html", {"accepted": 0}, (0, []), {})
    assert "None." in Page((tmp_path / "sheet.html").read_text()).text
