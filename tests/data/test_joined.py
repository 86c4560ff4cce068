"""Two sets read as one."""

import torch
from making import faces

from fer_ssl.data.joined import join


def test_joined_reads_keep_the_asked_order() -> None:
    first, second = faces([0] * 5, "a", seed=1), faces([1] * 7, "b", seed=2)
    joined = join(first, second)
    rows = torch.tensor([11, 0, 5, 4, 5, 2])
    pixels = torch.cat([first.images.read(torch.arange(5)), second.images.read(torch.arange(7))])
    assert torch.equal(joined.images.read(rows), pixels[rows])
    part = joined.subset(torch.tensor([10, 1, 6]))
    assert torch.equal(part.images.read(torch.tensor([2, 0])), pixels[[6, 10]])
    assert part.ids.tolist() == ["b/00005", "a/00001", "b/00001"]
    assert joined.labels.tolist() == [0] * 5 + [1] * 7
