"""The house rules: imports point one way, no side effects at import, modules stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from massieu.systems import SYSTEMS

PACKAGE = Path(__file__).parents[1] / "src" / "massieu"
LAYERS = [
    {"errors", "version", "principle", "geometry", "units", "linear_algebra"},
    {"statistics", "exact", "optimize", "physics", "estimators"},
    {"densities", "sampling", "config", "states"},
    {"observables"},
    {"systems"},
    {"families", "electron_chains"},
    {"mixed"},
    {"train", "evaluation", "remixing"},
    {"baselines", "inverse"},
    {"train_quantum", "train_qubits"},
    {"train_hydrogen"},
    {"evaluation_quantum", "evaluation_qubits", "evaluation_family", "evaluation_hydrogen"},
    {"choices"},
    {"checkpoint", "progress", "fit_data", "stopping"},
    {"run_directory"},
    {"run"},
    {"learning", "web_page", "text_tables"},
    {"figures", "figures_quantum", "figures_dot", "figures_qubits", "figures_hydrogen", "figures_fit"},
    {"equation_of_state"},
    {"sweep"},
    {"report", "arguments"},
    {"comparison", "bounds", "baseline_dot", "shock"},
    {"commands"},
    {"cli"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
MODULES = sorted(PACKAGE.rglob("*.py"))


def _room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports_at_top(path):
    for node in ast.parse(path.read_text()).body:
        names = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for name in names:
                if name == "massieu":
                    yield from (alias.name for alias in node.names)
                elif name and name.startswith("massieu."):
                    yield name.split(".")[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    room = _room(path)
    if room in ("__init__", "__main__"):
        return
    for other in _imports_at_top(path):
        assert RANK[other] < RANK[room] or other == room or {other, room} <= LAYERS[1], f"{room} imports {other}"


def test_import_changes_no_configuration():
    code = "import jax; import massieu; print(jax.config.jax_enable_x64)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_functions_stay_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno <= 60, f"{path}: {node.name}"


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_every_system_has_a_page(name):
    """With a command that runs it."""
    docs = PACKAGE.parents[1] / "docs"
    page = docs / ("electron_gas.md" if name == "electron-gas" else f"systems/{name}.md")
    assert f"massieu run {name}" in page.read_text()
