"""What a run leaves of its pseudo-labels."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from running import TINY, composed
from torch import Tensor

from fer_ssl.build import build_data, build_module
from fer_ssl.results import write_pseudo_labels
from fer_ssl.types import Output


@pytest.mark.parametrize("experiment", ["comatch", "daso"])
def test_pseudo_labels_are_shown_as_the_memory_makes_them(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = composed(*TINY, f"+experiment={experiment}", "run_dir=.")
    data = build_data(config)
    data.setup()
    module = build_module(config, data.space, len(data.pool))

    def recall(probs: Tensor, seen: Output, global_step: int) -> tuple[Tensor, None]:
        assert seen.embeddings.shape[0] == len(probs)
        return torch.eye(7)[[2]].expand_as(probs) * 0.9, None

    monkeypatch.setattr(module.memory, "recall", recall)
    write_pseudo_labels(tmp_path / "pseudo_labels.parquet", module, data.pool)
    shown = pq.read_table(tmp_path / "pseudo_labels.parquet").to_pydict()
    assert set(shown["pseudo_label"]) == {2}
    assert shown["confidence"] == pytest.approx([0.9] * len(shown["confidence"]))
