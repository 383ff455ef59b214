"""The site: pages in Markdown, notebooks executed once and kept, reference made from the package's own list of names.

`make docs` builds it from the files of the repository alone, with warnings as errors.
"""

import ast
import dataclasses
import importlib.util
import re
import shutil
from pathlib import Path

import massieu

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "massieu"

project = "massieu"
author = "The massieu developers"
copyright = "The massieu developers"
version = release = massieu.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
exclude_patterns = ["_build"]  # keeps the site, executed notebooks and MathJax
html_theme = "furo"
html_title = "massieu"
html_theme_options = {"navigation_with_keys": True}
highlight_language = "none"  # most blocks are commands or equations; code says its language

# MathJax from its package, so that the site needs nothing from outside
STATIC = ROOT / "docs" / "_build" / "static"
MATHJAX = Path(str(importlib.util.find_spec("mathjax").origin)).parent / "static" / "mathjax" / "es5"  # type: ignore[union-attr]
FONTS = "output/chtml/fonts/woff-v2"
shutil.copytree(MATHJAX / FONTS, STATIC / "mathjax" / FONTS, dirs_exist_ok=True)
shutil.copy(MATHJAX / "tex-mml-chtml.js", STATIC / "mathjax")
html_static_path = [str(STATIC)]
mathjax_path = "mathjax/tex-mml-chtml.js"

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

nb_execution_mode = "cache"  # a notebook whose code did not change is not run again
nb_execution_cache_path = str(ROOT / "docs" / "_build" / "notebooks")
nb_execution_in_temp = True
nb_execution_raise_on_error = False  # a notebook that fails is a warning, and so an error after all others have run
nb_execution_timeout = 900  # s, a cell on a busy machine; an idle one needs less than a minute for a notebook
nb_merge_streams = True

autodoc_typehints = "none"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "__init__, __new__"}

FIRST = ("minimize", "Run", "load", "sweep", "Estimate")
GROUPS = {
    "Runs": ("report", "runs", "baselines", "principle", "errors", "learning"),
    "Systems": ("systems",),
    "Lattices": ("physics",),
}


def names_of(stub: Path) -> list[tuple[str, str]]:
    """(module, name) of everything that a stub re-exports, in its order; modules themselves left out."""
    tree = ast.parse(stub.read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    return [(str(node.module), alias.name) for node in imports for alias in node.names if alias.name != "__version__"]


def entries(names: list[str], where: str) -> str:
    """Directives of autodoc for the public names of a module."""
    parent = __import__(where, fromlist=names)
    kinds = {name: "class" if isinstance(getattr(parent, name), type) else "function" for name in names}
    kinds |= {name: "exception" for name in names if name in ("InputError", "RunError")}
    lines = [f".. auto{kinds[name]}:: {where}.{name}\n" for name in names if name != "SYSTEMS"]
    return "```{eval-rst}\n" + "\n".join(lines) + "```\n"


def write_reference(app: object) -> None:
    """reference.md from the stubs, so that a new public name cannot be forgotten."""
    public = sorted(
        names_of(PACKAGE / "__init__.pyi"), key=lambda n: FIRST.index(n[1]) if n[1] in FIRST else len(FIRST)
    )
    parts = ["# Reference\n", "Names of `import massieu as ms`, from their docstrings.\n"]
    for title, rooms in GROUPS.items():
        parts += [f"## {title}\n", entries([n for module, n in public if module.split(".")[0] in rooms], "massieu")]
    shown = {name for _, name in public}
    more = [name for _, name in names_of(PACKAGE / "systems" / "__init__.pyi") if name not in shown]
    parts += ["## More systems: `massieu.systems`\n", entries(more, "massieu.systems")]
    densities = [name for _, name in names_of(PACKAGE / "densities" / "__init__.pyi")]
    parts += ["## Densities: `massieu.densities`\n", entries(densities, "massieu.densities")]
    parts += ["## The principle: `massieu.principle`\n", "```{eval-rst}\n.. automodule:: massieu.principle\n```\n"]
    text = "\n".join(parts)
    page = ROOT / "docs" / "reference.md"
    if not page.exists() or page.read_text() != text:
        page.write_text(text)


def plain(line: str) -> str:
    """A line of a docstring for reStructuredText: `code` stays code, everything else means itself."""
    spans = re.split(r"(``?[^`]+``?)", line)
    marked = [f"``{s.strip('`')}``" if s.startswith("`") else re.sub(r"([\\*|_`<>])", r"\\\1", s) for s in spans]
    return "".join(marked)


def readable(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text: indented blocks are equations or examples, the rest is paragraphs."""
    found: list[str] = []
    inside = False
    for line in lines:
        block = line.startswith("    ") and (inside or not found or not found[-1].strip())
        if block and not inside:
            found += ["::", ""]
        if inside and line.strip() and not block:
            found.append("")
        inside = block or (inside and not line.strip())
        found.append(line if block else plain(line.strip()))
    lines[:] = found + parameters(obj)


def parameters(obj: object) -> list[str]:
    """The parameters of a system or of options with their defaults and their line of help."""
    fields = dataclasses.fields(obj) if isinstance(obj, type) and dataclasses.is_dataclass(obj) else ()
    said = [f for f in fields if f.metadata.get("help")]
    return [""] + [f"* ``{f.name}`` ({plain(str(f.default))}): {plain(f.metadata['help'])}" for f in said]


def skipped(app: object, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Fields of named tuples, which say nothing of themselves."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app) -> None:  # type: ignore[no-untyped-def]
    """Called by Sphinx."""
    app.connect("builder-inited", write_reference)
    app.connect("autodoc-process-docstring", readable)
    app.connect("autodoc-skip-member", skipped)
