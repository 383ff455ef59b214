"""The tutorials run, and their final numbers are those that their texts state: the last cell of each asserts it."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
SECONDS = 1200  # of one cell, on a busy machine

SHOWS = """
import massieu as ms
run = ms.minimize(ms.SK(n=6, beta=0.7), steps=4, batch=64, samples=500)
run
---
run.summary()["F"]
---
import matplotlib.pyplot as plt
plt.plot([row["F"] for row in run.metrics]);
---
print(run)
---
ms.sweep(ms.SK, n=6, beta=[0.5, 1.0], steps=4, batch=64, samples=500)
"""


def executed(notebook, folder):
    """The notebook after all its cells, in a kernel of its own; a cell that raises ends the test with its traceback."""
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.quick
def test_every_tutorial_is_on_the_site_and_ends_with_a_number():
    index = (DOCS / "index.md").read_text()
    assert len(TUTORIALS) >= 10
    for path in TUTORIALS:
        assert f"tutorials/{path.stem}\n" in index
        text = path.read_text()
        *_, last = re.findall(r"```\{code-cell\}.*?\n(.*?)```", text, re.DOTALL)
        assert last.startswith(":tags: [remove-cell]") and "assert " in last, path
        assert "## The number" in text, path


@pytest.mark.acceptance
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial_reaches_its_number(path, tmp_path):
    from myst_nb.core.read import read_myst_markdown_notebook  # the reader of the site

    notebook = read_myst_markdown_notebook(path.read_text(), path=path)
    assert executed(notebook, tmp_path)


@pytest.mark.acceptance
def test_a_notebook_shows_runs_figures_and_sweeps(tmp_path):
    from nbformat import v4

    notebook = v4.new_notebook(cells=[v4.new_code_cell(code.strip()) for code in SHOWS.split("---")])
    run, summary, figure, text, sweep = executed(notebook, tmp_path)
    html = run.outputs[-1]["data"]["text/html"]
    assert "<table>" in html and "data:image/png" in html and "upper bound" in html
    assert "value" in summary.outputs[-1]["data"]["text/plain"]
    assert any("image/png" in output.get("data", {}) for output in figure.outputs)
    assert text.outputs[-1]["text"].startswith("sk n=6 beta=0.7")
    assert sweep.outputs[-1]["data"]["text/html"].count("<tr>") == 3
