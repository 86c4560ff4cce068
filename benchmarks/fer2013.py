"""Run FER2013 protocol P1 (conf/protocol/p1.yaml) and write docs/results.md; finished runs are skipped.

python benchmarks/fer2013.py --data ../shared/data [--workers 2] [--only supervised,dtm_infonce] [--budgets 25,100]
    [--seeds 0,1] [--runs outputs/p1]
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

METHODS = {
    "supervised": ["+experiment=supervised"],
    "fixmatch": ["+experiment=fixmatch"],
    "dtm_infonce": ["+experiment=dtm_infonce"],
    # the plain linear head: the normalised one never passes its threshold from scratch with this optimizer
    "adacm": ["+experiment=adacm", "head=linear", "head.projection=null"],
    "fully_supervised": ["+experiment=fully_supervised", "batch.labeled=128"],
    "dtm_infonce_lfw": ["+experiment=dtm_infonce", "unlabeled=shards"],
}


def command(method: str, budget: int, seed: int, data: Path, run_dir: Path) -> list[str]:
    """Return the command line of one run."""
    fer2013 = data / "fer2013"
    lfw = [f"unlabeled.root={data / 'lfw112'}"] if method.endswith("_lfw") else []
    experiment, *parts = METHODS[method]
    return [
        *(sys.executable, "-m", "fer_ssl.train", experiment, "+protocol=p1", *parts, *lfw),
        f"data.root={fer2013}",
        f"data.split_file={fer2013 / 'splits' / f'{budget}_per_class_seed{seed}.json'}",
        f"data.labels_per_class={budget}",
        f"data.split_seed={seed}",
        f"seed={seed}",
        f"hydra.run.dir={run_dir}",
    ]


def run(arguments: list[str], run_dir: Path, threads: int) -> None:
    """Train one run with its log beside it, unless it is finished."""
    if (run_dir / "metrics.json").exists():
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "log.txt").open("w") as log:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        status = subprocess.run(arguments, stdout=log, stderr=subprocess.STDOUT, env=environment).returncode
    print(f"{run_dir.name}: {'finished' if status == 0 else f'FAILED, see {run_dir}/log.txt'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FER_SSL_REAL_DATA", "../shared/data")))
    parser.add_argument("--runs", type=Path, default=Path("outputs/p1"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default=",".join(METHODS))
    parser.add_argument("--budgets", default="25,100")
    parser.add_argument("--seeds", default="0,1")
    args = parser.parse_args()
    threads = max(1, (os.cpu_count() or 1) // args.workers)
    with ThreadPoolExecutor(args.workers) as pool:
        for seed in map(int, args.seeds.split(",")):
            for method in args.only.split(","):
                for budget in map(int, args.budgets.split(",")):
                    run_dir = args.runs / f"{method}_{budget}_seed{seed}"
                    arguments = command(method, budget, seed, args.data, run_dir)
                    pool.submit(run, arguments, run_dir, threads)


if __name__ == "__main__":
    main()
