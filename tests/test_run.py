"""The life of a run: directory, schema, exit codes, resume to the same bits, nothing lost when things go wrong."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

import massieu as ms
from massieu.cli.main import main
from massieu.methods.method import method_of
from massieu.runs.directory import prepare, read_config
from massieu.systems import SYSTEMS

TINY = ["--steps", "30", "--batch", "64", "--samples", "1000", "--checkpoint-every", "5"]
ISING = ["run", "ising", "--l", "4", *TINY]


def _summary(folder):
    content = json.loads((folder / "summary.json").read_text())
    for name in ("seconds", "evaluation_seconds"):
        content.pop(name)
    return content


def _rows(folder):
    lines = (folder / "metrics.csv").read_text().splitlines()
    return [line.rsplit(",", 1)[0] for line in lines]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "ising"
    assert main([*ISING, "--out", str(folder)]) == 0
    return folder


def test_run_directory_holds_the_promised_files(finished):
    for name in ("config.yaml", "metrics.csv", "summary.json", "samples.npz", "report.html", "figures/free_energy.png"):
        assert (finished / name).stat().st_size > 0
    assert len(list((finished / "checkpoints").glob("step-*.npz"))) == 2
    assert yaml.safe_load((finished / "config.yaml").read_text())["system"] == "ising"
    assert np.load(finished / "samples.npz")["x"].shape == (1000, 16)
    html = (finished / "report.html").read_text()
    assert "data:image/png;base64," in html and "http" not in html.split("<body")[0]


def test_summary_follows_the_schema(finished):
    summary = _summary(finished)
    assert summary["schema"] == 1 and summary["system"] == "ising" and summary["status"] == "finished"
    assert summary["n"] == 16 and summary["steps"] == 30 and summary["seed"] == 0
    assert summary["parameters"]["l"] == 4 and set(summary["units"]) == {"energy", "length"}
    for name in ("F", "E", "S"):
        assert set(summary[name]) == {"value", "error"}
    assert summary["reference"]["F"]["method"] == "Kaufman torus"
    assert 0 < summary["importance"]["ess"] <= 1
    np.testing.assert_allclose(summary["reference"]["lnZ"]["value"], 15.521915370835575, rtol=1e-9)
    gap = (summary["F"]["value"] - summary["reference"]["F"]["value"]) / summary["F"]["error"]
    assert gap > -4
    F, E, S = (summary[k]["value"] for k in "FES")
    np.testing.assert_allclose(F, E - S / 0.44068679, rtol=1e-10)


@pytest.mark.acceptance
def test_same_seed_gives_the_same_numbers_and_another_seed_others(finished, tmp_path):
    assert main([*ISING, "--out", str(tmp_path / "same")]) == 0
    assert main([*ISING, "--seed", "1", "--out", str(tmp_path / "other")]) == 0
    assert _summary(tmp_path / "same") == _summary(finished)
    assert _rows(tmp_path / "same") == _rows(finished)
    assert _summary(tmp_path / "other")["F"] != _summary(finished)["F"]


def test_killed_run_resumes_to_the_same_bits(finished, tmp_path):
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "massieu.cli.main", *ISING, "--out", str(folder)], stdout=subprocess.DEVNULL
    )
    deadline = time.time() + 120
    while time.time() < deadline and not list((folder / "checkpoints").glob("step-*.npz")):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert main(["resume", str(folder)]) == 0
    assert _summary(folder) == _summary(finished)
    assert _rows(folder) == _rows(finished)


def _rewind(folder):
    """Back to the older of the two checkpoints, as if the run had died between them."""
    newest = max((folder / "checkpoints").glob("step-*.npz"))
    (folder / "summary.json").unlink(missing_ok=True)
    return newest


@pytest.fixture
def copy(finished, tmp_path):
    import shutil

    return shutil.copytree(finished, tmp_path / "copy")


def test_truncated_checkpoint_falls_back_to_the_one_before(finished, copy, capsys):
    newest = _rewind(copy)
    newest.write_bytes(newest.read_bytes()[:100])
    assert main(["resume", str(copy)]) == 0
    assert "cannot be read" in capsys.readouterr().out
    assert _summary(copy) == _summary(finished)


def test_no_readable_checkpoint_is_one_line_and_changes_nothing(copy, capsys):
    (copy / "summary.json").unlink()
    for path in (copy / "checkpoints").glob("*.npz"):
        path.write_bytes(b"")
    before = _rows(copy)
    assert main(["resume", str(copy)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "truncated" in error
    assert _rows(copy) == before


def test_checkpoint_of_another_system_is_refused(copy, tmp_path, capsys):
    assert main(["run", "ising", "--l", "4", "--beta", "0.3", *TINY, "--out", str(tmp_path / "b")]) == 0
    _rewind(copy).write_bytes(max((tmp_path / "b" / "checkpoints").glob("step-*.npz")).read_bytes())
    capsys.readouterr()
    assert main(["resume", str(copy)]) == 1
    assert "is of" in capsys.readouterr().err


def test_finished_run_is_not_trained_again_unless_asked(copy, capsys, told):
    assert main(["resume", str(copy)]) == 0
    assert "finished" in capsys.readouterr().out
    assert main(["resume", str(copy), "--steps", "40"]) == 0
    phases = "reading", "setting up", "compiling", "step", "evaluating", "drawing"
    told(capsys.readouterr().out, *phases)
    assert _summary(copy)["steps"] == 40


def test_evaluate_with_more_samples_shrinks_the_error(finished, copy, capsys, told):
    assert main(["evaluate", str(copy), "--samples", "4000"]) == 0
    told(capsys.readouterr().out, "reading", "evaluating 4000", "computing the reference", "drawing")
    assert _summary(copy)["F"]["error"] < _summary(finished)["F"]["error"]


def test_full_disk_stops_with_one_line_and_keeps_what_is_saved(tmp_path, capsys, monkeypatch):
    from massieu.runs import checkpoint

    real, calls = checkpoint.write_atomically, []

    def write(path, data):
        calls.append(path.name)
        if path.name.startswith("step-00000015"):
            raise OSError(28, "No space left on device", str(path))
        real(path, data)

    monkeypatch.setattr(checkpoint, "write_atomically", write)
    assert main([*ISING, "--out", str(tmp_path / "full")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "No space left" in error and "massieu resume" in error
    monkeypatch.setattr(checkpoint, "write_atomically", real)
    assert main(["resume", str(tmp_path / "full")]) == 0
    assert _summary(tmp_path / "full")["steps"] == 30


def test_diverged_run_says_so_and_keeps_its_checkpoint(tmp_path, capsys, monkeypatch):
    from massieu.methods.classical import train

    real = train.problem

    def broken(*arguments):
        made = real(*arguments)

        def step(state):
            new, metrics = made.step(state)
            return new, metrics | ({"F": np.nan} if int(state.step) == 12 else {})

        return made._replace(step=step)

    monkeypatch.setattr("massieu.methods.classical.train.problem", broken)
    monkeypatch.setattr("massieu.runs.run.kept", lambda training, *_: training)
    assert main([*ISING, "--out", str(tmp_path / "nan")]) == 1
    assert "diverged at step 12" in capsys.readouterr().err
    assert json.loads((tmp_path / "nan" / "summary.json").read_text())["status"] == "diverged"
    assert max((tmp_path / "nan" / "checkpoints").glob("step-*.npz")).name == "step-00000010.npz"


BAD = [
    (["run", "isng"], "did you mean ising"),
    (["rn"], "did you mean run"),
    (["run", "ising", "--bta", "1"], "did you mean --beta"),
    (["run", "ising", "--beta", "abc"], "beta = abc: must be a number"),
    (["run", "ising", "--beta", "-1"], "beta = -1.0"),
    (["run", "ising", "--l", "2.5"], "l = 2.5: must be an integer"),
    (["run", "ising", "--steps", "0"], "steps = 0"),
    (["run", "ising", "--steps"], "expected one argument"),
    (["run", "ising", "--density", "mad"], "did you mean made"),
    (["run", "ising", "--shape", "3,3"], "shape = 3,3"),
    (["run", "sk", "--density", "pixelcnn"], "not a lattice"),
    (["run", "ising", "--density", "neural-rg"], "density = neural-rg: must be one of auto, blanket"),
    (["run", "phi4", "--density", "made"], "density = made: must be one of auto, neural-rg"),
    (["run", "coulomb-trap", "--density", "spline"], "density = spline: must be one of auto for"),
    (["run", "phi4", "--depth", "2"], "without width, depth"),
    (["run", "phi4", "--l", "7", "--density", "neural-rg"], "sides = 7x7: must be divisible by 2"),
    (["run", "phi4", "--l", "4", "--density", "monge-ampere", "--depth", "2"], "depth = 2: must be left out"),
    (["run", "phi4", "--l", "4", "--density", "realnvp", "--symmetrise", "true"], "without width, depth or symmetrise"),
    (["run", "coulomb-trap", "--n", "0"], "n = 0"),
    (["run", "coulomb-trap", "--beta", "nan"], "beta = nan"),
    (["run", "ising", "--reference", "maybe"], "reference = maybe: must be true or false"),
    (["resume", "/no/such/place"], "run directory"),
    (["evaluate", "/no/such/place"], "run directory"),
    (["report", "/no/such/place"], "finished run"),
    (["reference", "sk", "--couplings", "/no/such.npy"], "No such file"),
    (["run", "electron-gas", "--n", "5", "--rs", "0"], "rs = 0"),
    (["run", "electron-gas", "--n", "5", "--rs", "x"], "rs = x"),
    (["run", "electron-gas", "--n", "5", "--theta", "-1"], "theta = -1"),
    (["run", "electron-gas", "--n", "5", "--twist", "0.9"], "twist = 0.9"),
    (["run", "electron-gas", "--n", "5", "--cutoff", "2"], "cutoff = 2"),
    (["run", "electron-gas", "--n", "5", "--polarised", "false"], "polarised = False"),
    (["reference", "electron-gas", "--n", "2", "--rs", "1e308"], "rs = 1e+308"),
    (["reference", "electron-gas", "--n", "2", "--rs", "1e-320"], "rs = "),
    (["reference", "electron-gas", "--n", "2", "--theta", "1e-300"], "theta = 1e-300"),
    (["reference", "electron-gas", "--n", "2", "--theta", "1e6"], "theta = 1000000.0"),
    (["run", "electron-gas", "--n", "3", "--mix", "100000000000"], "mix = "),
    (["run", "electron-gas", "--n", "13", "--cutoff", "6000000000"], "cutoff = "),
    (["run", "electron-gas", "--n", "2", "--twist", "average", "--twists", "grid:\u00b2"], "twists = grid:"),
    (["run", "electron-gas", "--n", "2", "--twists", "nonsense"], "twists = nonsense"),
    (["run", "electron-gas", "--n", "3", "--polarised", "false", "--n-down", "0"], "n_down = 0"),
    (["run", "electron-gas", "--n", "2", "--seed", "99999999999999999999"], "seed = "),
    (["run", "electron-gas", "--n", "3", "--attention", "1"], "attention = 1"),
    (["run", "electron-gas", "--n", "13", "--attention", "1", "--width", "5"], "width = 5"),
    (["run", "electron-gas", "--n", "3", "--remix", "-1"], "remix = -1"),
    (["run", "ising", "--remix", "7"], "remix = 7: must be left out"),
    (["run", "electron-gas", "--n", "3", "--precision", "float32"], "precision = float32: must be left out"),
    (["run", "ising", "--sampler", "mala"], "sampler = mala: must be left out"),
    (["sweep", "electron-gas", "--n", "2", "--out", "x"], "such as --rs 1,5"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_bad_input_is_one_clear_line_and_exit_code_two(arguments, message, refused):
    refused(arguments, message)


def test_directory_that_is_not_empty_is_left_alone(tmp_path, refused):
    (tmp_path / "mine.txt").write_text("precious")
    refused([*ISING, "--out", str(tmp_path)], "empty")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_dry_run_prints_the_configuration_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "sk", "--n", "8", "--steps", "7", "--dry-run"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["parameters"]["n"] == 8 and shown["config"]["steps"] == 7
    assert not list(tmp_path.iterdir())


def test_reference_json_has_totals_with_methods(capsys):
    assert main(["reference", "sk", "--beta", "1", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(known["F"]["value"], -18.81509064012121, rtol=1e-9)
    np.testing.assert_allclose(known["lnZ"]["value"], 18.81509064012121, rtol=1e-9)
    assert set(known["F"]) == {"value", "error", "method"}
    np.testing.assert_allclose(known["ideal"]["F"]["value"], -20 * np.log(2))


def test_list_names_every_system(capsys):
    assert main(["list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(ms.systems.SYSTEMS)


@pytest.mark.parametrize("density", ["made", "transformer", "pixelcnn", "rnn", "blanket"])
@pytest.mark.acceptance
def test_every_named_density_runs_two_steps(density, tmp_path):
    options = ["--density", density, "--steps", "2", "--batch", "16", "--samples", "1000", "--width", "4"]
    assert main(["run", "ising", "--shape", "3x4", *options, "--out", str(tmp_path / "r")]) == 0
    assert _summary(tmp_path / "r")["status"] == "finished"


@pytest.mark.parametrize("density", ["neural-rg", "realnvp", "spline", "continuous", "monge-ampere"])
@pytest.mark.acceptance
def test_every_named_density_of_fields_runs_two_steps(density, tmp_path):
    options = ["--density", density, "--steps", "2", "--batch", "16", "--samples", "1000", "--width", "4"]
    depth = [] if density == "monge-ampere" else ["--depth", "1"]
    field = ["run", "phi4", "--l", "2", "--dim", "1", "--reference", "false", "--optimiser", "adam"]
    assert main([*field, *options, *depth, "--out", str(tmp_path / "r")]) == 0
    assert _summary(tmp_path / "r")["status"] == "finished"


PRESETS = {"sk": ["--n", "8"], "hopfield": ["--n", "8"], "coulomb-trap": ["--n", "4"], "phi4": ["--l", "2"],
           "ising-dual": ["--l", "2"], "mw": [], "lj": [], "dimer": ["--solvent", "1"],
           "potts": ["--shape", "2x3"], "clock": ["--shape", "5"], "xy": ["--shape", "2x3"]}  # fmt: skip


@pytest.mark.parametrize("system", PRESETS)
@pytest.mark.acceptance
def test_every_preset_runs_two_steps(system, tmp_path):
    options = ["--steps", "2", "--batch", "16", "--samples", "1000", "--reference", "false"]
    assert main(["run", system, *PRESETS[system], *options, "--out", str(tmp_path / "r")]) == 0
    assert _summary(tmp_path / "r")["reference"] is None


@pytest.mark.parametrize("parameters", [["--shape", "1x1"], ["--shape", "1x5", "--j", "0", "--h", "0.5"]])
@pytest.mark.acceptance
def test_uncoupled_spins_are_exact_from_the_start(parameters, tmp_path):
    options = ["--steps", "2", "--batch", "16", "--samples", "1000", "--out", str(tmp_path / "r")]
    assert main(["run", "ising", *parameters, *options]) == 0
    summary = _summary(tmp_path / "r")
    np.testing.assert_allclose(summary["F"]["value"], summary["reference"]["F"]["value"], rtol=1e-9)


@pytest.mark.acceptance
def test_python_interface_takes_a_hamiltonian_and_a_density_of_the_users_own(tmp_path):
    class Chain(ms.ClassicalSystem):
        def energy(self, s):
            return -(s[1:] * s[:-1]).sum()

    run = ms.minimize(Chain(), ms.densities.MADE(n=6, width=2), beta=1.0, steps=150, batch=256, samples=4000)
    exact = -(6 * np.log(2) + 5 * np.log(np.cosh(1.0)))
    assert -4 * run.F.error < run.F.value - exact < 0.02 * abs(exact)
    assert run.report(tmp_path / "chain").exists()


def test_python_interface_takes_flowjax_distributions(tmp_path):
    import jax.numpy as jnp
    from flowjax.distributions import Normal

    class Oscillator(ms.ClassicalSystem):
        def energy(self, x):
            return 0.5 * jnp.sum((x - 1) ** 2)

    run = ms.minimize(
        Oscillator(),
        Normal(jnp.zeros(2)),
        beta=2.0,
        steps=200,
        batch=64,
        gradient="pathwise",
        learning_rate=0.2,
        samples=2000,
    )
    assert abs(run.F.value + 0.5 * 2 * np.log(2 * np.pi / 2.0) / 2) < 1e-3


def test_unknown_option_of_the_python_interface_is_named():
    with pytest.raises(ms.InputError, match="did you mean steps"):
        ms.minimize(ms.Ising(l=2), stps=3)


def test_a_dry_run_refuses_what_the_run_would(refused):
    refused(["run", "electron-gas", "--n", "3", "--width", "7", "--dry-run"], "width = 7")
    refused(["run", "phi4", "--density", "diffusion", "--gradient", "score", "--dry-run"], "gradient = score")


@pytest.mark.acceptance
def test_training_stops_at_the_target_error():
    run = ms.minimize(ms.Ising(l=2), steps=500, batch=64, samples=1000, anneal=0.0, target_error=1e-2)
    assert 10 <= len(run.metrics) < 500


@pytest.mark.parametrize("sampler", [pytest.param("direct", marks=pytest.mark.validation), "mala"])
@pytest.mark.acceptance
def test_density_matrix_run_resumes_to_the_same_bits(tmp_path, sampler):
    """Electrons: parameters, optimiser, walkers and mixed determinants all come back; one mixing on each side."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    options = ["--steps", "6", "--batch", "16", "--samples", "200", "--checkpoint-every", "3", "--sampler", sampler]
    gas = ["--n", "2", "--theta", "0.5", "--cutoff", "9", "--mix", "4", "--remix", "2", "--reference", "false"]
    for folder in (whole, cut):
        assert main(["run", "electron-gas", *gas, *options, "--out", str(folder)]) == 0
    (cut / "summary.json").unlink()
    (cut / "checkpoints" / "step-00000006.npz").unlink()
    assert main(["resume", str(cut)]) == 0
    first, second = (json.loads((folder / "summary.json").read_text()) for folder in (whole, cut))
    assert first["F"] == second["F"] and first["observables"] == second["observables"]


@pytest.mark.parametrize("kind", SYSTEMS.values(), ids=lambda kind: kind.name)
def test_configuration_of_every_system_comes_back(tmp_path, kind):
    """Systems whose beta follows from a temperature too."""
    small = {"electron-gas": {"n": 2, "theta": 0.5, "cutoff": 9}, "qubits": {"hamiltonian_file": "-1 Z0 Z1"},
             "spins": {"couplings": 1 - np.eye(3)}}  # fmt: skip
    system = kind(**small.get(kind.name, {}))
    prepare(tmp_path / "run", system, system.beta, method_of(system).configure(system))
    again, beta, config = read_config(tmp_path / "run")
    assert (again.parameters(), beta, config) == (system.parameters(), system.beta, method_of(system).configure(system))


def test_values_that_rest_on_few_samples_are_not_called_unbiased(tmp_path, capsys):
    """An untrained density far from the system: the weights of a few samples decide, and everything printed says so."""
    main(["run", "ising", "--l", "8", "--beta", "0.6", "--density", "product", "--steps", "2", "--samples", "1000",
          "--out", str(tmp_path / "run")])  # fmt: skip
    summary, shown = json.loads((tmp_path / "run" / "summary.json").read_text()), capsys.readouterr().out
    assert summary["trusted"] is False and len(summary["warnings"]) == 2
    assert all(summary["importance"][name]["error"] is None for name in ("lnZ", "F", "E", "S"))
    assert "unbiased" not in shown and "(reweighted)" not in shown and "warning: reweighted" in shown
    page = (tmp_path / "run" / "report.html").read_text()
    assert "not to be trusted" in page and "free of it" not in page


def test_a_trained_density_is_trusted(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["trusted"] is True and summary["warnings"] == []


def _column(folder, name):
    lines = (folder / "metrics.csv").read_text().splitlines()
    at = lines[0].split(",").index(name)
    return [float(line.split(",")[at]) for line in lines[1:]]


@pytest.mark.parametrize("kind", [["ising", "--l", "2", "--batch", "16"], ["tfim", "--shape", "3"]], ids=lambda k: k[0])
def test_run_that_is_trained_further_never_gets_hotter(kind, tmp_path, capsys):
    """However many more steps, also where an interruption cut them; the steps are in the configuration."""
    folder = tmp_path / "r"
    options = ["--steps", "10", "--samples", "100", "--reference", "false"]
    assert main(["run", *kind, *options, "--out", str(folder)]) == 0
    assert main(["resume", str(folder), "--steps", "50"]) == 0
    beta = _column(folder, "beta")
    assert len(beta) == 50 and beta == sorted(beta) and len(set(beta[10:])) == 1 and beta[0] < beta[-1]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["config"]["steps"] == 50 and config["continued"] == [10]
    (folder / "summary.json").unlink()
    for path in (folder / "checkpoints").glob("step-*50.npz"):
        path.unlink()
    assert main(["resume", str(folder)]) == 0
    assert _column(folder, "beta") == beta


@pytest.mark.parametrize(("steps", "annealed"), [(400, 0.05), (40, 0.5), (20, 0.5)])
def test_annealing_keeps_its_steps_and_is_not_cut(steps, annealed):
    from massieu.methods.classical.options import ClassicalOptions

    further = ClassicalOptions(steps=40, anneal=0.5).further(steps)
    assert further.steps == steps and further.anneal == annealed


@pytest.mark.parametrize("samples", [100, 200, 1500, 2600])
def test_as_many_samples_are_drawn_as_were_asked_for(samples, monkeypatch):
    from massieu.methods.classical import evaluate as of_classical

    seen, real = [], of_classical._observables
    monkeypatch.setattr(of_classical, "_observables", lambda *a: seen.append(len(a[1])) or real(*a))
    found = ms.minimize(ms.Ising(l=3), steps=1, batch=16, samples=samples)
    assert seen == [samples] and found.summary()["samples"] == samples
    assert len(found.result.samples["x"]) == len(found.result.samples["energy"]) == min(samples, of_classical.KEPT)
    numbers = [found.F.error, found.result.observables["mcmc"]["r_hat"], found.result.observables["abs_m"]["error"]]
    assert np.all(np.isfinite(numbers))


def test_few_samples_at_every_value_of_a_range():
    found = ms.minimize(ms.Ising(l=2), range="beta:0.2:0.6", steps=1, batch=16, samples=150)
    assert np.all(np.isfinite(found.result.observables["range"]["F"]["error"]))


def test_chains_say_how_many_samples_they_drew():
    found = ms.minimize(ms.systems.Hydrogen(n=1, clamped=True), steps=1, batch=16, samples=100, reference=False)
    assert found.summary()["samples"] == 16 * 16  # at least sixteen sweeps of all walkers


def test_evaluation_draws_other_samples_than_the_run_did(finished, copy):
    before = np.load(copy / "samples.npz")["x"]
    assert main(["evaluate", str(copy)]) == 0
    after, summary = np.load(copy / "samples.npz")["x"], _summary(copy)
    assert before.shape == after.shape and summary["samples"] == 1000
    assert not np.array_equal(before, after)
    difference = abs(summary["F"]["value"] - _summary(finished)["F"]["value"])
    assert 0 < difference < 5 * np.hypot(summary["F"]["error"], _summary(finished)["F"]["error"])


@pytest.mark.parametrize("line", ["ising --l 64", "sk --n 1000", "coulomb-trap --n 30", "phi4 --l 32"])
def test_dry_run_makes_no_density_and_no_reference(line, capsys, monkeypatch):
    def slow(*_):
        raise AssertionError("not in a dry run")

    name, *parameters = line.split()
    kind = SYSTEMS[name]
    for method in ("reference", "known"):
        monkeypatch.setattr(kind, method, slow)
    real = kind.default_density
    monkeypatch.setattr(kind, "default_density", lambda self, seed: real(self, seed) if self.size <= 4 else slow())
    assert main(["run", name, *parameters, "--dry-run"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["system"] == name


def test_dry_run_refuses_what_the_run_would(refused):
    refused(["run", "ising", "--gradient", "pathwise", "--dry-run"], "without pathwise for BlanketMADE")
    refused(["run", "ising", "--density", "mad", "--dry-run"], "did you mean made")
    refused(["run", "sk", "--density", "pixelcnn", "--dry-run"], "not a lattice")
