"""The wheel works in a fresh environment and from any directory."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from running import TINY

ROOT = Path(__file__).parent.parent
ALONE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # a checkout would come first


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of a new environment that holds the built wheel over the present dependencies."""
    place = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place], cwd=ROOT, check=True)
    venv.create(place / "venv", with_pip=False)
    python = place / "venv" / "bin" / "python"
    wheel = next(place.glob("*.whl"))
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True)
    packages = next((place / "venv" / "lib").glob("python*/site-packages"))
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    return python


def verb(python: Path, name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", f"fer_ssl.{name}", *arguments]
    return subprocess.run(command, cwd=cwd, env=ALONE, capture_output=True, text=True)


def test_the_wheel_trains_from_another_directory(installed: Path, tmp_path: Path) -> None:
    done = verb(installed, "train", "+experiment=dtm_infonce", *TINY, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").exists()
    script = [installed, "-c", "import fer_ssl.cli; print(fer_ssl.cli.CONF)"]
    where = subprocess.run(script, cwd=tmp_path, env=ALONE, capture_output=True, text=True)
    assert str(installed.parent.parent) in where.stdout


def test_config_and_help_answer_without_torch(installed: Path, tmp_path: Path) -> None:
    assert "dtm_infonce" in verb(installed, "train", "+experiment=dtm_infonce", "--cfg", "job", cwd=tmp_path).stdout
    probe = "import sys; from fer_ssl.train import main; sys.argv = ['train', '--cfg', 'job']; main(); "
    loaded = subprocess.run(
        [installed, "-c", probe + "print({'torch', 'lightning', 'numpy'} & set(sys.modules))"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert loaded.stdout.splitlines()[-1] == "set()", loaded.stderr


def test_a_mistake_is_one_sentence_without_traceback(installed: Path, tmp_path: Path) -> None:
    told = verb(installed, "train", "data=folder", "data.root=nowhere", cwd=tmp_path)
    assert told.returncode != 0
    assert "error: " in told.stderr
    assert "data.root=<dir>" in told.stderr
    assert "Traceback" not in told.stderr
