"""What holds a run back, its features or its classifier? Linear ones on its features, told more than the run was.

python benchmarks/limits.py outputs/recipe/long_best_seed10     # adds to docs/runs/limits.json
python benchmarks/results.py table                              # writes the table of docs/recipe.md from it
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from trials import TRIED_ALONE, TRIED_LONG, TRIED_WITH_250
from writing import write_between_marks

from fer_ssl.build import build_data, build_model
from fer_ssl.checkpoints import load_average, read_checkpoint
from fer_ssl.inference import trusted_config
from fer_ssl.method.functional import one_hot
from fer_ssl.metrics import ExpressionMetrics
from fer_ssl.refit import LogisticRegression, fit_logistic
from fer_ssl.scoring import Features, read_features

FIGURES = Path("docs/runs/limits.json")
BEGIN = "<!-- what holds back, written by benchmarks/results.py -->"
PENALTY = {"labels": 0.1, "pool": 1e-4}  # times the sum of the squared weights, of normalised features
NAMED = (
    {name: f"400 steps of InfoNCE alone, {tried}" for name, (tried, _) in TRIED_ALONE.items()}
    | {"best": "`best`, 1,000 steps", "best_norm": "the same, batch norm in the projection"}
    | {"softmatch": "`softmatch`, 1,000 steps"}
    | {name: f"{tried}, 250 labels per class, 1,000 steps" for name, (tried, _) in TRIED_WITH_250.items()}
    | {name: f"{tried}, 4,000 steps" for name, (tried, _) in TRIED_LONG.items()}
)
TOLD = {
    "model": "the model",
    "refitted": "`refit=logistic`",
    "frequencies": "told how frequent each class is",
    "labels": "linear, told the run's labels",
    "pool": "linear, told the labels of the pool",
}


def linear(told: Features, penalty: float, classes: int) -> Callable[[Tensor], Tensor]:
    """Return multinomial logistic regression on the normalised features of `told`."""
    mean, deviation = told.features.mean(0), told.features.std(0).clamp(min=1e-6)
    rows = torch.ones(len(told.labels))
    weight, bias = fit_logistic((told.features - mean) / deviation, one_hot(told.labels, classes), rows, penalty)
    return lambda features: (features - mean) / deviation @ weight + bias


def score(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return macro-F1 and accuracy."""
    metrics = ExpressionMetrics(logits.shape[1], over_ranks=False)
    metrics.update(logits.softmax(1), labels)
    scores = metrics.compute()
    return {"macro_f1": scores.macro_f1, "accuracy": scores.accuracy}


def limits(run_dir: Path) -> dict[str, dict[str, float]]:
    """Return scores on a run's held-out faces: its model's, and what it would have had if told more."""
    checkpoint = read_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    config = trusted_config(checkpoint, [], run_dir)
    data = build_data(config)
    data.setup()
    model = build_model(config, len(data.space))
    load_average(model, checkpoint)
    roles = data.roles()
    splits = (data.eval_loader(roles[name]) for name in ("test", "labeled", "pool"))
    held_out, labeled, pool = (read_features(model, split) for split in splits)
    frequencies = torch.bincount(held_out.labels, minlength=len(data.space)) / len(held_out.labels)
    with torch.no_grad():
        own = model.head.classifier(held_out.features)
    logits = {"model": own, "frequencies": own + frequencies.log() - own.softmax(1).mean(0).log()}
    for name, seen in (("labels", labeled), ("pool", pool)):
        logits[name] = linear(seen, PENALTY[name], len(data.space))(held_out.features)
    weight, bias = LogisticRegression().fit(labeled.features, one_hot(labeled.labels, len(data.space)), pool.features)
    logits["refitted"] = held_out.features @ weight.T + bias
    return {name: score(each, held_out.labels) for name, each in logits.items()}


def write_limits(figures: Path, page: Path) -> None:
    """Put the table of `figures` between the marks of `page`."""
    write_between_marks(page, table(json.loads(figures.read_text(encoding="utf-8"))), BEGIN)


def table(found: dict[str, dict[str, dict[str, float]]]) -> Iterator[str]:
    """Yield the lines of a table: macro-F1 and accuracy in percent."""
    yield f"| tried | {' | '.join(TOLD.values())} |"
    yield "| --- |" + " --- |" * len(TOLD)
    for name, tried in NAMED.items():
        for run in sorted(run for run in found if run.rpartition("_seed")[0] == name):
            yield f"| {tried} | {' | '.join(_cell(found[run].get(told)) for told in TOLD)} |"


def _cell(scores: dict[str, float] | None) -> str:
    return "-" if scores is None else f"{100 * scores['macro_f1']:.1f}, {100 * scores['accuracy']:.1f}"


def main() -> None:
    found = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    found |= {Path(each).name: limits(Path(each)) for each in sys.argv[1:]}
    FIGURES.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
