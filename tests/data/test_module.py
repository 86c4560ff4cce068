"""The data module: roles, leaks, sizes and records."""

import io
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from making import SPACE, faces
from PIL import Image

from fer_ssl.data import manifest
from fer_ssl.data.admission import Admission
from fer_ssl.data.decode import Decoder
from fer_ssl.data.images import ResidentImages, hold
from fer_ssl.data.module import FaceData
from fer_ssl.data.samplers import natural
from fer_ssl.data.splits import SplitPlan
from fer_ssl.errors import ConfigError, DataError
from fer_ssl.types import UNKNOWN, Batch, Faces, Splits


class Made:
    """A source of random faces of which training row 4 is a copy of a test face."""

    space = SPACE
    channels = 1

    def load(self, decoder: Decoder) -> Splits:
        train, test = faces([0, 1, 2] * 20, "train", seed=1), faces([0, 1, 2] * 5, "test", seed=2)
        pixels = train.images.read(torch.arange(60))
        pixels[4] = test.images.read(torch.tensor([0]))[0]
        return Splits(Faces(ResidentImages(pixels), train.ids, train.labels), test=test)


class OwnPool(Made):
    """The same with a pool of its own, one face of which is a copy of a test face."""

    def load(self, decoder: Decoder) -> Splits:
        splits = super().load(decoder)
        assert splits.test is not None
        pool = Faces(splits.test.images, faces([0] * 15, "pool").ids, torch.full((15,), UNKNOWN))
        return splits._replace(pool=pool)


def data(
    plan: SplitPlan,
    source: type[Made] = Made,
    unlabeled: int = 8,
    leak_check: bool | str = True,
    pool: bool = True,
    admission: Admission | None = None,
) -> FaceData:
    decoder = partial(Decoder, 6)
    batches = (4, unlabeled, 2, 0, 4)
    made = FaceData(source(), None, pool, plan, decoder, natural, *batches, leak_check, admission=admission)
    made.setup()
    return made


def test_roles_and_pool_come_from_the_plan() -> None:
    made = data(SplitPlan(labels_per_class=5, val_fraction=0.25))
    sizes = {role: len(part) for role, part in made.roles().items()}
    assert sizes == {"labeled": 15, "val": 12, "test": 15, "pool": 32}
    assert made.leaked == 1
    assert "train/00004" not in {name for role, part in made.roles().items() if role != "test" for name in part.ids}


def test_a_face_that_is_left_out_anyway_is_not_counted_as_a_leak(tmp_path: Path) -> None:
    exclude = tmp_path / "exclude.json"
    exclude.write_text('{"train": ["train/00004"]}')
    made = data(SplitPlan(labels_per_class=5, val_fraction=0.25), admission=Admission(None, str(exclude)))
    assert made.leaked == 0
    assert "train/00004" not in {name for role, part in made.roles().items() if role != "test" for name in part.ids}


def test_the_leak_check_can_be_switched_off() -> None:
    made = data(SplitPlan(labels_per_class=5, val_fraction=0.0), leak_check=False)
    assert made.leaked == 0
    assert len(made.labeled) + len(made.roles()["pool"]) == 60


def test_when_every_label_is_used_the_labeled_faces_are_the_pool() -> None:
    made = data(SplitPlan(val_fraction=0.0))
    assert made.pool is not None
    assert made.pool.ids.tolist() == made.labeled.ids.tolist()


def test_a_source_pool_is_cleaned_and_too_small_is_an_error() -> None:
    with pytest.raises(DataError, match=r"pool holds \d+ faces, fewer than one batch; set batch\.unlabeled="):
        data(SplitPlan(val_fraction=0.0), OwnPool)


def test_the_manifest_freezes_roles_and_hides_the_pools_labels(tmp_path: Path) -> None:
    made = data(SplitPlan(labels_per_class=5))
    made.write_records(tmp_path)
    rows = pq.read_table(tmp_path / "manifest.parquet").to_pylist()
    assert {row["role"] for row in rows} == {"labeled", "val", "test", "pool"}
    assert all((row["label"] == UNKNOWN) == (row["role"] == "pool") for row in rows)
    assert not (tmp_path / "rejected.csv").exists()


def test_the_manifest_hash_follows_the_split() -> None:
    plans = [SplitPlan(labels_per_class=5, split_seed=seed) for seed in (0, 0, 1)]
    first, again, other = (data(plan).summary()["manifest_sha256"] for plan in plans)
    assert first == again != other


def test_the_position_survives_a_checkpoint() -> None:
    made = data(SplitPlan(labels_per_class=5))
    batches = list(made.train_dataloader())
    made.on_after_batch_transfer(batches[0], 0)
    resumed = data(SplitPlan(labels_per_class=5))
    resumed.load_state_dict(made.state_dict())
    following = next(iter(resumed.train_dataloader()))
    assert following.position == 1
    assert torch.equal(following.labeled, batches[1].labeled)


class StreamedPool:
    """A pool that is read on demand and of which one face is a copy of a test face."""

    def load(self, decoder: Decoder) -> Faces:
        files = [png(image) for image in OwnPool().load(decoder).pool.images.read(torch.arange(15))]
        return hold(files, faces([0] * 15, "pool").ids, Decoder(6, 1, resident=False), "the pool")


def test_people_are_told_where_the_rows_are() -> None:
    module = data(SplitPlan(labels_per_class=5))
    module.setup()
    module.identities = torch.arange(len(module.pool or []))
    rows = torch.tensor([3, 1])
    batch = Batch(rows, rows, None, rows, rows, None, position=0)
    assert module.on_before_batch_transfer(batch, 0).identities.tolist() == [3, 1]
    elsewhere = batch._replace(pool_rows=rows.to("meta"))  # as of a batch that was moved ahead of its step
    assert module.on_before_batch_transfer(elsewhere, 0).identities.device.type == "meta"


def png(image: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[0].numpy()).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(("leak_check", "left"), [("auto", 15), (False, 15), (True, 0)])
def test_streamed_pools_are_read_for_twins_only_when_asked(leak_check: bool | str, left: int, caplog) -> None:
    made = FaceData(
        Made(),
        StreamedPool(),
        False,
        SplitPlan(),
        lambda channels: Decoder(6, channels),
        natural,
        4,
        1,
        2,
        0,
        4,
        leak_check,
    )
    if left:
        made.setup()
        assert made.pool is not None
        assert len(made.pool) == left
        assert made.leaked == (leak_check == "auto")  # the training face
        assert made.summary()["pool_checked"] is False
        assert ("data.leak_check=true" in caplog.text) == (leak_check == "auto")
    else:
        with pytest.raises(DataError, match="the pool holds 0 faces"):
            made.setup()


def test_an_unknown_leak_check_names_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"data\.leak_check=maybe is none of true, false, auto"):
        data(SplitPlan(), leak_check="maybe")


def test_the_manifest_is_the_same_in_blocks_and_out_of_order(monkeypatch, tmp_path: Path) -> None:
    roles = {"pool": faces([0] * 30, "pool"), "val": faces([0, 1, 2], "val")}
    whole = manifest.manifest_hash(roles)
    monkeypatch.setattr(manifest, "BLOCK", 7)
    turned = roles | {"pool": roles["pool"].subset(torch.arange(30).flip(0))}
    assert manifest.manifest_hash(roles) == manifest.manifest_hash(turned) == whole
    assert whole.startswith("65b344d4efaf84b3")  # as of one line after the other
    manifest.write_manifest(tmp_path / "manifest.parquet", roles)
    rows = pq.read_table(tmp_path / "manifest.parquet")
    assert rows["id"].to_pylist() == roles["pool"].ids.tolist() + roles["val"].ids.tolist()
    assert rows["label"].to_pylist() == [UNKNOWN] * 30 + [0, 1, 2]
