"""Who may import whom: method, nn, views and data sources stay free of the frameworks around them."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fer_ssl"
FRAMEWORKS = {"lightning", "hydra", "wandb", "omegaconf"}
FORBIDDEN = {
    "types.py": FRAMEWORKS | {"fer_ssl.data", "fer_ssl.method", "fer_ssl.nn", "fer_ssl.views"},
    "dist.py": FRAMEWORKS | {"fer_ssl.data", "fer_ssl.method"},
    "method": FRAMEWORKS | {"fer_ssl.data", "fer_ssl.module", "fer_ssl.build", "fer_ssl.views"},
    "nn": FRAMEWORKS | {"fer_ssl.data", "fer_ssl.method", "fer_ssl.module"},
    "views": FRAMEWORKS | {"fer_ssl.data", "fer_ssl.method", "fer_ssl.nn"},
    "metrics": FRAMEWORKS | {"fer_ssl.data", "fer_ssl.method"},
    "reports": FRAMEWORKS | {"fer_ssl.data", "fer_ssl.method", "fer_ssl.module", "torch"},
    "data": {"hydra", "wandb", "omegaconf", "fer_ssl.method", "fer_ssl.nn", "fer_ssl.module"},
    "data/sources": FRAMEWORKS,
    "data/pools": FRAMEWORKS,
    "module.py": {"hydra", "wandb", "omegaconf"},
    "callbacks": {"hydra", "wandb", "omegaconf"},
}


def imported(path: Path) -> set[str]:
    """Return every module that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("part", FORBIDDEN)
def test_imports_point_down_the_house(part: str) -> None:
    place = PACKAGE / part
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            broken = [ban for ban in FORBIDDEN[part] if name == ban or name.startswith(f"{ban}.")]
            assert not broken, f"{path.relative_to(PACKAGE)} imports {name}"


def test_files_stay_readable() -> None:
    assert {
        path.name: count for path in PACKAGE.rglob("*.py") if (count := len(path.read_text().splitlines())) > 300
    } == {}
