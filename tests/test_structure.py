"""The house rules: imports point one way, no side effects at import, folders say what they are, modules stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from massieu.cli.listing import TEXT, described
from massieu.systems.table import PLACES

pytestmark = pytest.mark.quick

PACKAGE = Path(__file__).parents[1] / "src" / "massieu"
TOOLS = {
    "errors", "version", "units", "principle", "geometry", "linear_algebra", "statistics", "optimize", "estimators",
    "sampling", "progress", "text", "strict_json", "signals", "precision",
}  # fmt: skip
ENTRANCES = {"__init__", "__main__"}
LAYERS = [
    TOOLS,
    {"physics"},
    {"exact", "densities", "states"},
    {"observables"},
    {"systems"},
    {"methods"},
    {"runs"},
    {"baselines", "learning"},
    {"report"},
    {"cli"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES} - {PACKAGE})
KINDS = ("classical", "particles", "qubits", "atoms")


def _room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path, everywhere=False):
    """Names of the rooms that a module imports, at its top or everywhere."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "massieu":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("massieu."):
            yield node.module.split(".", 1)[1]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".", 1)[1] for a in node.names if a.name.startswith("massieu."))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    room = _room(path)
    if room in ENTRANCES:
        return
    for other in _imports(path):
        other = other.split(".")[0]
        allowed = RANK[other] < RANK[room] or other == room or {other, room} <= TOOLS
        assert allowed or {other, room} == {"states", "densities"}, f"{room} imports {other}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_matter_knows_at_most_the_particles(kind):
    """What a kind needs is in its own folder; atoms share the options and the clipping of particles."""
    others = {f"methods.{other}" for other in KINDS if other != kind} - (
        {"methods.particles"} if kind == "atoms" else set()
    )
    for path in (PACKAGE / "methods" / kind).glob("*.py"):
        found = {name for name in _imports(path, everywhere=True) for other in others if name.startswith(other)}
        assert not found, f"{path.name} imports {found}"


def test_nothing_asks_what_kind_of_matter_a_system_is():
    """One table does, methods/method.py."""
    for path in MODULES:
        asked = path.read_text().count("isinstance(system")
        assert asked == (path == PACKAGE / "methods" / "method.py"), path


def test_the_root_keeps_the_principle_and_its_tools():
    assert {path.stem for path in PACKAGE.glob("*.py")} == TOOLS | ENTRANCES


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_folder_says_what_lives_there(folder):
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


def test_import_changes_no_configuration():
    code = "import jax; import massieu; massieu.minimize; print(jax.config.jax_enable_x64)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


@pytest.mark.parametrize("line", ["--help", "--version", "list", "run --help", "run isng", "rn"])
def test_what_computes_nothing_imports_no_jax(line):
    code = """
import sys
from massieu.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(sorted({"jax", "numpy", "equinox", "matplotlib"} & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code, *line.split()], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"


def test_list_is_up_to_date():
    """`make list` writes it."""
    assert TEXT.read_text() == "".join(described(name) + "\n" for name in PLACES)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_functions_stay_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno <= 60, f"{path}: {node.name}"


@pytest.mark.parametrize("name", sorted(PLACES))
def test_every_system_has_a_page(name):
    """With a command that runs it."""
    docs = PACKAGE.parents[1] / "docs"
    page = docs / ("electron_gas.md" if name == "electron-gas" else f"systems/{name}.md")
    assert f"massieu run {name}" in page.read_text()
