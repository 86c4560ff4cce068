"""Batches by position, resident or streamed."""

import io

import numpy as np
import pytest
import torch
from making import faces
from PIL import Image

from fer_ssl.data.decode import Decoder, Rejects
from fer_ssl.data.images import hold
from fer_ssl.data.loader import EvalLoader, TrainLoader
from fer_ssl.data.samplers import ShuffledSampler, natural
from fer_ssl.errors import DataError, UnreachableError
from fer_ssl.types import Batch, Faces

LABELED, POOL = faces([0, 1, 2] * 4, seed=1), faces([2, 1] * 10, "pool", seed=2)


def png_files(resident: Faces) -> list[bytes]:
    """Return every face as the bytes of a PNG file."""
    files = []
    for image in resident.images.read(torch.arange(len(resident))):
        buffer = io.BytesIO()
        Image.fromarray(image[0].numpy()).save(buffer, "PNG")
        files.append(buffer.getvalue())
    return files


def streamed(resident: Faces, decoder: Decoder) -> Faces:
    """Return the same faces, kept as PNG files' bytes and decoded at each read."""
    return hold(png_files(resident), resident.ids, decoder, "the files", resident.labels)


def loader(
    labeled: Faces = LABELED, pool: Faces | None = POOL, workers: int = 0, rejects: Rejects | None = None
) -> TrainLoader:
    pool_sampler = None if pool is None else ShuffledSampler(len(pool), 6, seed=7)
    sampler = natural(labeled.labels, 4, seed=7)
    return TrainLoader(labeled, sampler, pool, pool_sampler, 3, workers, Rejects() if rejects is None else rejects)


def same(first: Batch, second: Batch) -> bool:
    pairs = zip(first, second, strict=True)
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


def test_a_batch_carries_images_of_its_rows() -> None:
    batch = next(iter(loader()))
    assert batch.unlabeled is not None
    assert batch.pool_rows is not None
    assert torch.equal(batch.unlabeled, POOL.images.read(batch.pool_rows))
    assert torch.equal(batch.truth, POOL.labels[batch.pool_rows])
    assert batch.labeled.shape == (4, 1, 6, 6)


def test_epochs_continue_and_seek_jumps_to_a_position() -> None:
    batches = [batch for source in [loader()] for _ in range(3) for batch in source]
    assert [batch.position for batch in batches] == list(range(9))
    resumed = loader()
    resumed.seek(5)
    assert all(same(batch, other) for batch, other in zip(resumed, batches[5:8], strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_faces_make_the_same_batches(workers: int) -> None:
    random_state = torch.get_rng_state()
    decoder = Decoder(6, 1, resident=False)
    batches = list(loader(streamed(LABELED, decoder), streamed(POOL, decoder), workers, decoder.rejects))
    assert all(same(batch, other) for batch, other in zip(batches, loader(), strict=True))
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_streamed_faces_are_counted_and_too_many_stop(workers: int) -> None:
    decoder = Decoder(6, 1, resident=False)
    encoded = [b"" if row in (3, 4, 5) else data for row, data in enumerate(png_files(POOL))]
    pool = hold(encoded, POOL.ids, decoder, "the shards")
    with pytest.raises(DataError, match=r"\d of 20 images of the shards cannot be read .*data\.max_rejected="):
        list(loader(pool=pool, workers=workers, rejects=decoder.rejects))
    assert {origin for origin, _ in decoder.rejects.reasons} == {"the shards"}
    decoder.rejects.max_rejected = 0.2
    epochs = loader(pool=pool, workers=workers, rejects=decoder.rejects)
    assert len([batch for _ in range(2) for batch in epochs]) == 6
    assert len(decoder.rejects) == 3


def test_without_a_pool_only_labeled_faces_come() -> None:
    batch = next(iter(loader(pool=None)))
    assert (batch.unlabeled, batch.pool_rows, batch.truth) == (None, None, None)


def test_evaluation_shares_every_face_once_over_ranks() -> None:
    rows = torch.cat([batch.rows for rank in range(3) for batch in EvalLoader(POOL, 4, rank, 3)])
    assert np.array_equal(rows.sort().values, np.arange(len(POOL)))


class Silent:
    """Storage that stops answering."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, row: int) -> bytes:
        raise UnreachableError("the server of http://here is silent")


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_storage_that_stops_answering_ends_the_run_in_one_sentence(workers: int) -> None:
    decoder = Decoder(6, 1, resident=False)
    pool = hold(Silent(), POOL.ids, decoder, "the server")
    with pytest.raises(UnreachableError, match=r"^the server of http://here is silent$"):
        list(loader(pool=pool, workers=workers, rejects=decoder.rejects))
    assert not decoder.rejects.reasons
