"""Which faces go to the device. `meta` stands for an accelerator: it has shapes and no values."""

import pytest
import torch
from making import faces

from fer_ssl.data.decode import Decoder, Rejects
from fer_ssl.data.images import StreamedImages
from fer_ssl.data.joined import join
from fer_ssl.data.placing import SHARE, Placement, decoded, on_device
from fer_ssl.types import Batch, Faces

META = torch.device("meta")
SET = faces([0, 1, 2] * 4)
STREAMED = Faces(StreamedImages([b""] * 3, SET.ids[:3], Decoder(6, 1), "set"), SET.ids[:3], SET.labels[:3])


class Roomy(Placement):
    """Has as much memory as the test says."""

    free = 0.0

    def free_bytes(self) -> float:
        return self.free


def placed_on(resident: bool | str, share: float, held: Faces = SET, device: torch.device = META) -> str:
    """Return where `held` goes when `SET` would fill `share` of what one set may take."""
    placement = Roomy(resident, device)
    pixels = decoded(SET.images)
    assert pixels is not None
    placement.free = pixels.nbytes / SHARE / share
    images = placement(held).images
    return "on demand" if isinstance(images, StreamedImages) else str(decoded(images).device)  # type: ignore[union-attr]


def test_auto_places_what_fits() -> None:
    assert placed_on("auto", 1.0) == "meta"
    assert placed_on("auto", 1.01) == "cpu"
    assert placed_on("device", 100.0) == "meta"
    assert placed_on("cpu", 0.1) == placed_on(True, 0.1) == "cpu"


def test_faces_on_a_cpu_and_streamed_faces_stay() -> None:
    assert placed_on("device", 0.1, device=torch.device("cpu")) == "cpu"
    assert placed_on("device", 0.1, held=STREAMED) == "on demand"


def test_joined_faces_become_one_set_in_their_order() -> None:
    joined = join(SET, faces([1, 2], seed=5)).subset(torch.tensor([13, 0, 12]))
    assert torch.equal(decoded(joined.images), joined.images.read(torch.arange(3)))
    assert placed_on("device", 1.0, held=joined) == "meta"
    assert decoded(join(SET, STREAMED).images) is None


def test_a_set_is_copied_once_and_keeps_what_is_known_of_it() -> None:
    placement = Roomy("device", META)
    first, second = placement(SET), placement(SET.subset(torch.arange(3)))
    assert placement(SET).images is first.images
    assert second.images is not first.images
    assert first.labels is SET.labels
    assert first.ids is SET.ids


def test_batches_travel_whole() -> None:
    images = SET.images.read(torch.arange(2))
    batch = Batch(images, SET.labels[:2], None, images, torch.arange(2), None, position=3)
    sent = on_device(batch, META)
    assert (sent.labeled.device, sent.pool_rows.device) == (META, META)  # type: ignore[union-attr]
    assert (sent.soft_labels, sent.truth, sent.position) == (None, None, 3)


@pytest.mark.gpu
@pytest.mark.parametrize("resident", ["cpu", "device"])
def test_batches_on_a_gpu_are_those_on_a_cpu(resident: str) -> None:
    from fer_ssl.data.loader import TrainLoader
    from fer_ssl.data.samplers import ShuffledSampler, natural

    device = torch.device("cuda", 0)
    placement = Placement(resident, device)

    def batches(labeled: Faces, pool: Faces, *place: torch.device) -> list[Batch]:
        samplers = natural(labeled.labels, 4, seed=7), ShuffledSampler(len(pool), 6, seed=7)
        return list(TrainLoader(labeled, samplers[0], pool, samplers[1], 9, 0, Rejects(), *place))

    for plain, sent in zip(batches(SET, SET), batches(placement(SET), placement(SET), device), strict=True):
        assert sent.position == plain.position
        for ours, theirs in zip(sent[:2] + sent[3:6], plain[:2] + plain[3:6], strict=True):
            assert ours.device == device
            assert torch.equal(ours.cpu(), theirs)
