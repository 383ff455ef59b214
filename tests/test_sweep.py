"""Sweeps: a grid of ordinary runs that start from each other, continued by the same command, one table at the end."""

import csv
import json

import jax
import numpy as np
import pytest

import massieu as ms
from massieu.cli.main import main
from massieu.methods.method import method_of
from massieu.progress import Silent
from massieu.runs import checkpoint, sweep_plan, sweep_task
from massieu.runs.directory import identity, read_config
from massieu.systems import SK, ElectronGas, Ising

TINY = ["--steps", "2", "--batch", "16", "--samples", "500"]
SWEEP = ["sweep", "sk", "--n", "6", "--beta", "0.3,0.5", *TINY]
POINTS = ["beta-0.3", "beta-0.5"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "glass"
    assert main([*SWEEP, "--out", str(folder)]) == 0
    return folder


def _table(folder):
    with open(folder / "sweep.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.acceptance
def test_every_point_is_a_run_directory_and_the_table_has_their_results(finished):
    rows = _table(finished)
    assert [float(row["beta"]) for row in rows] == [0.3, 0.5]
    for name, row in zip(POINTS, rows, strict=True):
        summary = json.loads((finished / name / "summary.json").read_text())
        assert summary["status"] == "finished" and (finished / name / "report.html").exists()
        for quantity in "FESC":
            assert float(row[quantity]) == summary[quantity]["value"]
            assert float(row[f"{quantity}_error"]) == summary[quantity]["error"]
        assert float(row["F_reference"]) == summary["reference"]["F"]["value"]
        assert float(row["F"]) - float(row["F_reference"]) > -4 * float(row["F_error"])
        assert float(row["F_var"]) >= 0 and float(row["seconds"]) > 0
    assert (finished / "sweep.png").stat().st_size > 0


def test_same_command_again_trains_nothing(finished, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.glob("beta-*/*.*")}
    assert main([*SWEEP, "--out", str(finished)]) == 0
    assert capsys.readouterr().out.count("skipped") == 2
    assert {path: path.stat().st_mtime_ns for path in finished.glob("beta-*/*.*")} == before


@pytest.mark.parametrize("kept", [True, False], ids=["with a checkpoint", "before the first checkpoint"])
def test_interrupted_point_is_continued_to_the_same_numbers(finished, tmp_path, kept, capsys):
    import shutil

    copy = shutil.copytree(finished, tmp_path / "copy")
    for name in ("summary.json", "samples.npz", "report.html"):
        (copy / POINTS[1] / name).unlink()
    if not kept:
        shutil.rmtree(copy / POINTS[1] / "figures")
        for name in ("samples.npz", "reference.json"):
            (copy / POINTS[1] / name).unlink(missing_ok=True)
        for path in (copy / POINTS[1] / "checkpoints").iterdir():
            path.unlink()
    assert main([*SWEEP, "--out", str(copy)]) == 0
    said = capsys.readouterr().out
    assert said.count("skipped") == 1 and ("continues from" if kept else "starts from beta-0.3") in said
    for old, new in zip(_table(finished), _table(copy), strict=True):
        assert {k: v for k, v in old.items() if k != "seconds"} == {k: v for k, v in new.items() if k != "seconds"}


def test_other_grid_in_the_same_directory_is_refused(finished, capsys):
    for changed in (["--beta", "0.3,0.6"], ["--n", "5"], ["--steps", "3"], ["--seed", "1"]):
        assert main([*SWEEP, *changed, "--out", str(finished)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and f"its {changed[0][2:]} is" in error


def test_parameters_of_another_run_are_the_start_and_nothing_else_is(finished):
    with jax.enable_x64(True):
        system, beta, options = read_config(finished / POINTS[0])
        method = method_of(system)
        training = method.problem(system, method.ansatz(system, options), beta, options)
        state = checkpoint.with_parameters_of(finished / POINTS[0] / "checkpoints", training.start)
        trained, _, _ = checkpoint.load_newest(
            finished / POINTS[0] / "checkpoints", training.start, identity(system, beta)
        )
    leaves = jax.tree.leaves
    assert all(np.array_equal(a, b) for a, b in zip(leaves(state.params), leaves(trained.params), strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(leaves(state.params), leaves(training.start.params)))
    assert int(state.step) == 0
    assert all(np.array_equal(a, b) for a, b in zip(leaves(state.opt_state), leaves(training.start.opt_state)))


def test_other_shapes_mean_a_fresh_start_and_are_said(finished):
    class Told(Silent):
        def __init__(self):
            self.lines = []

        def say(self, text):
            self.lines.append(text)

    told = Told()
    options = {"steps": 2, "batch": 16, "samples": 500, "reference": False}
    warm = ms.minimize(SK(n=5), start_from=finished / POINTS[0], progress=told, **options)
    assert any("fresh start" in line and "shapes" in line for line in told.lines)
    assert warm.F == ms.minimize(SK(n=5), **options).F
    with pytest.raises(ms.InputError, match="start_from"):
        ms.minimize(SK(n=5), start_from="/no/such/place", **options)


def test_neighbours_are_the_nearest_points_before_along_real_parameters():
    plan = sweep_plan.plan(ElectronGas, {"rs": (1.0, 5.0), "theta": (0.2, 0.4), "n": (2, 3)}, {})
    start = {point.name: sweep_plan.nearest(plan, point) for point in plan.points}
    assert start["rs-1_theta-0.2_n-2"] is None and start["rs-1_theta-0.2_n-3"] is None
    assert start["rs-1_theta-0.4_n-3"].name == "rs-1_theta-0.2_n-3"
    assert start["rs-5_theta-0.2_n-2"].name == "rs-1_theta-0.2_n-2"
    last = plan.points[-1]
    assert sweep_plan.nearest(plan, last, failed=("rs-1_theta-0.4_n-3",)).name == "rs-5_theta-0.2_n-3"


@pytest.mark.acceptance
def test_a_point_that_fails_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    real = sweep_task.minimize

    def broken(system, **options):
        if system.beta == 0.3:
            raise ms.RunError("diverged at step 1")
        return real(system, **options)

    monkeypatch.setattr(sweep_task, "minimize", broken)
    assert main([*SWEEP, "--out", str(tmp_path / "s")]) == 1
    captured = capsys.readouterr()
    assert "1 of 2 points: beta-0.3" in captured.err and "diverged at step 1" in captured.out
    assert [float(row["beta"]) for row in _table(tmp_path / "s")] == [0.5]
    monkeypatch.setattr(sweep_task, "minimize", real)
    assert main([*SWEEP, "--out", str(tmp_path / "s")]) == 0
    assert len(_table(tmp_path / "s")) == 2


def test_words_are_never_split_and_negative_lists_are_understood(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "electron-gas", "--n", "3", "--twist", "0.25,0.25", "--rs", "1,5", "--dry-run"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["rs-1", "rs-5"]
    assert main(["sweep", "ising", "--l", "2,4", "--h", "-0.5,0.5", "--dry-run"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "l-2_h--0.5", "l-2_h-0.5", "l-4_h--0.5", "l-4_h-0.5"
    ]  # fmt: skip
    assert not list(tmp_path.iterdir())


BAD = [
    (["sweep", "isng", "--beta", "1,2"], "did you mean ising"),
    (["sweep", "ising"], "with commas"),
    (["sweep", "ising", "--beta", "0.3"], "with commas"),
    (["sweep", "ising", "--beta", "0.3,x"], "beta = x: must be a number"),
    (["sweep", "ising", "--beta", "0.3,"], "must be a number"),
    (["sweep", "ising", "--beta", "0.3,0.3"], "beta = 0.3,0.3: must be at least two values, all different"),
    (["sweep", "ising", "--beta", "0.3,-1"], "beta = -1.0"),
    (["sweep", "ising", "--l", "2,2.5"], "l = 2.5: must be an integer"),
    (["sweep", "ising", "--beta", "0.3,0.4", "--steps", "1,2"], "steps = 1,2: must be an integer"),
    (["sweep", "ising", "--beta", "0.3,0.4"], "out = None: must be given"),
    (["sweep", "ising", "--beta", "0.3,0.4", "--bta", "1"], "did you mean --beta"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_bad_input_is_one_clear_line_and_exit_code_two(arguments, message, refused):
    refused(arguments, message)


def test_directory_of_something_else_is_left_alone(tmp_path, refused):
    (tmp_path / "mine.txt").write_text("precious")
    refused([*SWEEP, "--out", str(tmp_path)], "empty")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("kind", "grid", "names"),
    [
        ("sk", {"couplings_seed": (1234567890123, 1234567890124)}, "couplings-seed-"),
        ("sk", {"beta": (0.1, 0.1 + 1e-16, 0.3, 0.1 + 0.2, 1.0)}, "beta-"),
        ("ising", {"boundary": ("periodic", "open"), "shape": ("2x3", "3x2")}, "boundary-periodic_shape-2x3"),
    ],
)
def test_no_two_points_share_a_directory(kind, grid, names):
    points = sweep_plan.plan(ms.systems.SYSTEMS[kind], {"n": 4, **grid} if kind == "sk" else grid, {}).points
    assert len({point.name for point in points}) == len(points) == np.prod([len(values) for values in grid.values()])
    assert points[0].name.startswith(names)
    if "beta" in grid:
        assert [point.name for point in points][2:] == ["beta-0.3", "beta-0.30000000000000004", "beta-1"]


def test_point_is_believed_only_if_it_is_of_this_sweep(finished, tmp_path, capsys):
    """Another run in its place, finished or not, is refused; one that was trained further is not."""
    import shutil

    copy = shutil.copytree(finished, tmp_path / "copy")
    assert main(["resume", str(copy / POINTS[0]), "--steps", "4"]) == 0
    assert main([*SWEEP, "--out", str(copy)]) == 0
    for given, word in (
        (["--beta", "0.4"], "its beta is 0.4"),
        (["--beta", "0.5", "--batch", "32"], "its batch is 32"),
    ):
        shutil.rmtree(copy / POINTS[1])
        assert main(["run", "sk", "--n", "6", *TINY, *given, "--out", str(copy / POINTS[1])]) == 0
        for name in ("nothing", "summary.json"):
            (copy / POINTS[1] / name).unlink(missing_ok=True)
            capsys.readouterr()
            assert main([*SWEEP, "--out", str(copy)]) == 2
            error = capsys.readouterr().err
            assert error.count("\n") == 1 and str(copy / POINTS[1]) in error and word in error


def test_plan_from_python_takes_tuples():
    plan = sweep_plan.plan(Ising, {"l": 2, "beta": (0.1, 0.2)}, {"steps": 2})
    assert [point.system.beta for point in plan.points] == [0.1, 0.2]


def test_a_sweep_in_python_is_a_table(tmp_path):
    """Numbers and words vary; every point is a run of its own, and the directory continues."""
    given = {"shape": ["2x3", "1x6"], "beta": np.array([0.4, 0.8]), "steps": 4, "batch": 64, "samples": 400}
    table = ms.sweep(ms.Ising, out=tmp_path / "grid", **given)
    assert len(table) == 4
    assert table["shape"].tolist() == ["2x3", "2x3", "1x6", "1x6"]
    assert table["beta"].tolist() == [0.4, 0.8] * 2
    exact = [ms.Ising(shape=row["shape"], beta=row["beta"]).known().best.lnZ.value for row in table]
    assert np.all(np.abs(table["lnZ"] - exact) < 5 * table["lnZ_error"] + 1e-9)
    assert {"F", "C_error", "ess", "abs_m", "abs_m_error", "F_reference"} <= set(table.names)
    assert repr(table).splitlines()[0].split()[:3] == ["shape", "beta", "F"]
    assert "<table>" in table._repr_html_()
    assert table.to_csv(tmp_path / "table.csv").read_text() == (tmp_path / "grid" / "sweep.csv").read_text()
    again = ms.sweep(ms.Ising, out=tmp_path / "grid", **given)
    assert [row["F"] for row in again] == [row["F"] for row in table]
    with pytest.raises(ms.InputError, match=r"column = lnz: must be one of .*did you mean lnZ"):
        table["lnz"]
    with pytest.raises(ms.InputError, match="no such option"):
        ms.sweep(ms.Ising, beta=[0.4, 0.8], stepz=3)


def test_words_vary_on_the_command_line(capsys):
    assert main(["sweep", "ising", "--shape", "4x4,2x8", "--boundary", "periodic,open", "--dry-run"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        f"shape-{shape}_boundary-{boundary}" for shape in ("4x4", "2x8") for boundary in ("periodic", "open")
    ]
