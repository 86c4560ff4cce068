"""Run a suite of experiments, skipping finished runs; write docs/results.md and the heads of conf/experiment from them.

python benchmarks/results.py synthetic                      # every experiment on procedural faces, the default data
python benchmarks/results.py rounds                         # those that self-train, on the same faces
python benchmarks/results.py p1 --data ../shared/data       # FER2013, conf/protocol/p1.yaml; p2 is its longer form
python benchmarks/results.py p1 --only soft_teacher_pretrained --init outputs/pretrain/checkpoints/last.ckpt
python benchmarks/results.py ferplus --data ../shared/data  # the same with FER+ majority labels, drawn by the seed
python benchmarks/results.py pretraining --data ../shared/data # features alone, scored by the nearest class mean
python benchmarks/results.py ablation --data ../shared/data # dtm_infonce with one part changed, under p1
python benchmarks/results.py recipe --data ../shared/data --init <file>  # trials for `best`
python benchmarks/results.py table                          # only write docs/results.md from the runs at hand
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from ablation import ABLATED, BUDGET, write_ablations
from beside import write_beside
from fold import make_fold
from heads import write_heads
from limits import FIGURES, write_limits
from recipe import write_recipe
from shares import write_shares
from summary import write_summary
from trials import DTM_OF_TWO_VIEWS, MOVED, SEEDS, STUDENT, TWICE, trials

SCRATCH = (
    "supervised", "fixmatch", "flexmatch", "freematch", "softmatch", "adamatch", "dash", "debiaspl", "uda",
    "pseudolabel", "pi_model", "mean_teacher", "mixmatch", "remixmatch", "comatch", "simmatch", "soft_teacher",
    "dtm_infonce_uncertain", "dtm_infonce",
)  # fmt: skip
REFITTED = ("flexmatch", "freematch", "softmatch", "dtm_infonce")
CONTRAST = ["loss.infonce.weight=0.5", *STUDENT]
FACES = {name: [f"+experiment={name}"] for name in (*SCRATCH, "dtm_infonce_faces", "best", "best_refitted")} | {
    # the plain linear head: the normalised one never passes its threshold from scratch with this optimizer
    "adacm": ["+experiment=adacm", "head=linear", "head.projection=null"],
    "fully_supervised": ["+experiment=fully_supervised", "batch.labeled=128"],
    # as USB runs them, whose figures are to be understood: the student labels, in training mode; batches as they come
    "fixmatch_student": [
        "+experiment=fixmatch", "teacher=student_train", "teacher.views=[weak]", "name=fixmatch_student",
    ],
    "fully_supervised_natural": [
        "+experiment=fully_supervised", "batch.labeled=128", "sampler=natural", "name=fully_supervised_natural",
    ],
    # the contrast's constants that won on validation faces; those of the experiment are its ancestor's
    "dtm_infonce_contrast": ["+experiment=dtm_infonce_uncertain", *CONTRAST, "name=dtm_infonce_contrast"],
    # fewer views a step, as the peers have them
    "dtm_infonce_two_views": [*DTM_OF_TWO_VIEWS, "name=dtm_infonce_two_views"],
    **{f"{name}_refitted": [f"+experiment={name}", "refit=logistic", f"name={name}_refitted"] for name in REFITTED},
    # what read more on held-out faces, and does not on the test split
    "best_refitted_statistics": [
        "+experiment=best_refitted", "refit.statistics=true", "refit.penalty=0.3", "name=best_refitted_statistics",
    ],
    # with 250 labels of a class or more, tried on held-out faces
    **{f"{name}_labels_2": [f"+experiment={name}", TWICE, f"name={name}_labels_2"] for name in ("best", "softmatch")},
    # as `best` was before: the pool's frequencies counted in full from the first step
    "best_whole_prior": [*MOVED, "name=best_whole_prior"],
}  # fmt: skip
# faces of another kind than the labeled ones
LFW = {f"{name}_lfw": [*FACES[name], "unlabeled=shards"] for name in ("softmatch", "dtm_infonce_uncertain", "best")}
PRETRAINED = {
    f"{name}_pretrained": [*FACES[name], f"name={name}_pretrained"] for name in ("supervised", "soft_teacher")
} | {"best_pretrained": ["+experiment=best_pretrained"]}
# features alone; who is who is told by LFW's names
FEATURES = {name: [f"+experiment={name}"] for name in ("pretrain_infonce", "pretrain_moco")} | {
    "pretrain_identity": ["+experiment=pretrain_identity", "unlabeled=shards"],
}
ROUNDS = {
    "self_training": ["+experiment=self_training", "rounds=3"],
    "crest_plus": ["+experiment=crest_plus", "threshold@selection.threshold=crest", "rounds=5"],
}
TABLE, RECIPE, PEERS, README = Path("docs/results.md"), Path("docs/recipe.md"), Path("docs/peers.md"), Path("README.md")
ABLATIONS = Path("docs/ablations.md")
EXPERIMENTS = Path("conf/experiment")
RECORDS = Path("docs/runs")  # configuration, metrics and history of every finished run: what the table is made of
# no runs of the default steps from scratch that learn expressions: they have steps of their own, features, or rounds
UNLIKE = {"adacm", "best_pretrained", *FEATURES, *ROUNDS}
# keys of a configuration that hold paths of the machine it ran on
PLACES = ("run_dir", "root", "split_file", "init", "pseudo_labels")

Job = tuple[str, list[str]]


def synthetic(args: argparse.Namespace) -> Iterator[Job]:
    """Yield name and overrides of every run on procedural faces."""
    methods = sorted({path.stem for path in EXPERIMENTS.glob("*.yaml")} - UNLIKE)
    for seed, method in product(args.seeds, args.only or methods):
        yield f"{method}_seed{seed}", [f"+experiment={method}", f"seed={seed}"]


def rounds(args: argparse.Namespace) -> Iterator[Job]:
    """Yield name and overrides of every run in rounds on procedural faces."""
    for seed, method in product(args.seeds, args.only or ROUNDS):
        yield f"{method}_seed{seed}", [*ROUNDS[method], f"seed={seed}"]


def fer2013(args: argparse.Namespace) -> Iterator[Job]:
    """Yield name and overrides of every run on FER2013 under the protocol of the suite's name."""
    yield from on_faces(args, args.suite, lambda budget, seed: [split_file(args.data, budget, seed)])


def ferplus(args: argparse.Namespace) -> Iterator[Job]:
    """Yield name and overrides of every run on FER2013 with the majority of the FER+ votes as labels."""
    yield from on_faces(args, "p1", lambda *_: ["data.labels=ferplus_majority"])


def split_file(data: Path, budget: int, seed: int) -> str:
    """Return the override that names the labeled faces of a split."""
    return f"data.split_file={data / 'fer2013' / 'splits' / f'{budget}_per_class_seed{seed}.json'}"


def ablation(args: argparse.Namespace) -> Iterator[Job]:
    """Yield name and overrides of the runs of dtm_infonce with one part changed, on FER2013."""
    yield from at_budget(args, ABLATED)


def pretraining(args: argparse.Namespace) -> Iterator[Job]:
    """Yield name and overrides of the runs that learn features alone, on FER2013."""
    yield from at_budget(args, FEATURES)


def at_budget(args: argparse.Namespace, methods: Mapping[str, list[str]]) -> Iterator[Job]:
    """Yield these methods' runs on FER2013 at BUDGET."""
    args.budgets = [BUDGET]
    yield from on_faces(args, "p1", lambda budget, seed: [split_file(args.data, budget, seed)], methods)


def on_faces(
    args: argparse.Namespace,
    protocol: str,
    labels: Callable[[int, int], list[str]],
    methods: Mapping[str, list[str]] | None = None,
) -> Iterator[Job]:
    """Yield every method's runs; `labels` gives the overrides of a budget and a seed, which is the split's too."""
    methods = methods or FACES | LFW | (PRETRAINED if args.init else {})
    for seed, method, budget in product(args.seeds, args.only or methods, args.budgets):
        experiment, *parts = methods[method]
        lfw = [f"unlabeled.root={args.data / 'lfw112'}"] if "unlabeled=shards" in parts else []
        init = [f"backbone.init={args.init}"] if method in PRETRAINED else []
        whole = method.startswith("fully_supervised")
        budgets = [f"data.labels_per_class={'null' if whole else budget}", f"data.split_seed={seed}"]
        place = [f"data.root={args.data / 'fer2013'}", *labels(budget, seed), *budgets, f"seed={seed}"]
        yield f"{method}_{budget}_seed{seed}", [experiment, f"+protocol={protocol}", *parts, *init, *lfw, *place]


def recipe(args: argparse.Namespace) -> Iterator[Job]:
    """Yield what was tried for `best`, on faces of Training alone."""
    fold = make_fold(args.data / "fer2013", Path("outputs/fold"))
    for name, overrides in trials(fold, args.init, args.seeds):
        if not args.only or name.rpartition("_")[0] in args.only:
            yield name, overrides


TESTED = {"synthetic": synthetic, "p1": fer2013, "p2": fer2013, "ferplus": ferplus}
SUITES = TESTED | {"recipe": recipe, "ablation": ablation, "pretraining": pretraining, "rounds": rounds}


def run(name: str, overrides: list[str], folder: str, threads: int) -> None:
    """Train one run with its log beside it, unless it is finished; a stopped one continues."""
    run_dir, record = Path("outputs") / folder / name, RECORDS / folder / name
    if record.exists():
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    resume = ["ckpt_path=last"] if (run_dir / "checkpoints" / "last.ckpt").exists() else []
    verb = "fer_ssl.self_train" if folder == "rounds" else "fer_ssl.train"
    command = [sys.executable, "-m", verb, *overrides, f"hydra.run.dir={run_dir}", *resume]
    with (run_dir / "log.txt").open("a") as log:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=environment).returncode
    if status == 0:
        staged = record.with_name(f"{name}.part")
        for place in sorted(run_dir.glob("round_*")) or [run_dir]:
            keep_record(place, staged / place.relative_to(run_dir))
        staged.rename(record)  # all rounds or none
    print(f"{name}: {'finished' if status == 0 else f'FAILED, see {run_dir}/log.txt'}", flush=True)


def keep_record(run_dir: Path, record: Path) -> None:
    """Copy the numbers of a finished run, its paths reduced to their last part."""
    record.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    (record / "config.yaml").write_text(yaml.safe_dump(without_places(config), sort_keys=False))
    for name in ("metrics.json", "history.csv"):
        shutil.copyfile(run_dir / name, record / name)


def without_places(node: Any) -> Any:
    """Return a configuration in which paths are reduced to their last part."""
    if not isinstance(node, dict):
        return node
    return {
        key: place(key, value) if key in PLACES and isinstance(value, str) else without_places(value)
        for key, value in node.items()
    }


def place(key: str, value: str) -> str:
    """Return the last part of a path; of a checkpoint, the run it belongs to."""
    return Path(value).parts[-3] if key == "init" else Path(value).name


def write_table() -> None:
    """Write docs/results.md, heads of experiments and tables of README, recipe and peers from the recorded runs."""
    records = [str(RECORDS / suite) for suite in TESTED if (RECORDS / suite).exists()]
    subprocess.run([sys.executable, "-m", "fer_ssl.report", *records, "--table", str(TABLE)], check=True)
    write_heads(RECORDS, EXPERIMENTS, {name: parts for name, (_, *parts) in FACES.items()})
    write_recipe(RECORDS / "recipe", RECIPE)
    write_limits(FIGURES, RECIPE)
    write_shares(RECORDS, RECIPE)
    write_beside(RECORDS, PEERS)
    write_ablations(RECORDS / "ablation", ABLATIONS)
    write_summary(RECORDS, README)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=[*SUITES, "table"])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FER_SSL_REAL_DATA", "../shared/data")))
    parser.add_argument("--init", type=Path, help="checkpoint that the *_pretrained methods start from")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time, sharing the cores")
    parser.add_argument(
        "--threads", type=int, help="threads of a run; by default the cores are divided over the workers"
    )
    parser.add_argument("--only", nargs="+", help="methods to run, in this order")
    parser.add_argument("--budgets", nargs="+", type=int, default=[25, 100], help="labels per class")
    parser.add_argument("--seeds", nargs="+", type=int, help="0 1 2 by default, and others for the recipe's trials")
    args = parser.parse_args()
    args.seeds = args.seeds or (SEEDS if args.suite == "recipe" else [0, 1, 2])
    if args.suite != "table":
        jobs = SUITES[args.suite](args)
        threads = args.threads or max(1, (os.cpu_count() or 1) // args.workers)
        with ThreadPoolExecutor(args.workers) as workers:
            for name, overrides in jobs:
                workers.submit(run, name, overrides, args.suite, threads)
    write_table()


if __name__ == "__main__":
    main()
