"""The files a finished run leaves: metrics, predictions, pseudo-labels with their faces, a picture of its views."""

import io
import json
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from fer_ssl import __version__
from fer_ssl.data.manifest import write_table
from fer_ssl.data.module import FaceData
from fer_ssl.files import whole
from fer_ssl.module import SemiSupervised, as_probs
from fer_ssl.scoring import Scored
from fer_ssl.types import Faces, LabeledView
from fer_ssl.views.draw import view_generator
from fer_ssl.views.preview import preview

SAMPLES = 48  # pseudo-labeled faces shown in the report
PREVIEWED = 6  # faces in the picture of the views


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` whole or not at all."""
    with whole(path) as partial:
        partial.write_text(json.dumps(content, indent=2, allow_nan=True) + "\n")


def write_predictions(
    path: Path, scored: Mapping[str, Scored | LabeledView], faces: Mapping[str, Faces], classes: list[str]
) -> None:
    """Write `id, split, label, prediction, prob_<class>...` of every face, the label of an unlabeled one being -1."""
    tables = []
    for split, result in scored.items():
        columns: dict[str, Any] = {
            "id": faces[split].ids.tolist(),
            "split": [split] * len(result.labels),
            "label": result.labels.numpy(),
            "prediction": result.probs.argmax(1).numpy(),
        }
        columns |= {f"prob_{name}": result.probs[:, label].numpy() for label, name in enumerate(classes)}
        tables.append(pa.table(columns))
    if tables:
        write_table(path, pa.concat_tables(tables))


@torch.inference_mode()
def write_pseudo_labels(path: Path, module: SemiSupervised, pool: Faces) -> None:
    """Write what the final teacher says of `SAMPLES` faces spread over the pool, with the faces themselves.

    Predictions are as a memory makes them; `keep` is 1 from tau on, and for every face where the threshold weighs faces
    and leaves none out.
    """
    rows = torch.linspace(0, len(pool) - 1, min(SAMPLES, len(pool))).long().unique()
    images = pool.images.read(rows)
    seen = module.teacher.average.eval()(images.to(module.device))
    probs, _ = module.memory.recall(as_probs(seen), seen, module.global_step)
    pseudo_labels, confidence = module.threshold.align(probs).argmax(1).cpu(), module.threshold.compared(probs).cpu()
    reached = (confidence >= module.tally.tau.cpu()[pseudo_labels]).float()
    keep = reached if module.threshold.leaves_out else torch.ones_like(reached)
    columns = {
        "id": pool.ids[rows.numpy()].tolist(),
        "pseudo_label": pseudo_labels.numpy(),
        "confidence": confidence.numpy(),
        "keep": keep.numpy(),
        "truth": pool.labels[rows].numpy(),
        "image": [as_png(image) for image in images],
    }
    write_table(path, pa.table(columns))


def as_png(image: Tensor) -> bytes:
    """Return a face uint8 [1 or 3, H, W] as the bytes of a PNG."""
    pixels = image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_view_preview(path: Path, module: SemiSupervised, data: FaceData) -> None:
    """Draw weak and strong views of a few faces of the pool, or of the labeled faces where there is none."""
    faces = data.labeled if data.pool is None else data.pool
    rows = torch.linspace(0, len(faces) - 1, PREVIEWED).long()
    views = module.views
    picture = preview(faces.images.read(rows), views.weak, views.strong, view_generator("preview", 0, 0))
    with whole(path) as partial:
        picture.save(partial, "PNG")


def environment() -> dict[str, Any]:
    """Return the facts of software and machine that a number depends on."""
    return {
        "fer_ssl": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
    }


def _cpu() -> str:
    """Return the processor and whether it multiplies matrices of bf16, on which minutes depend."""
    capabilities = torch.cpu.get_capabilities()
    name = capabilities.get("cpu_name") or platform.processor()
    return f"{name}, {'with' if capabilities.get('amx_bf16') else 'without'} AMX"


def _commit() -> str | None:
    """Return the commit of the checkout this package runs from, marked where files differ from it."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    described = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10"], capture_output=True, text=True
    )
    return described.stdout.strip() or None
