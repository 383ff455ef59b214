"""A run as a user has it: drawn from, asked, observed, loaded, continued; callbacks and optimisers of one's own."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import massieu as ms

GLASS = {"n": 8, "beta": 0.7, "couplings_seed": 3}
SHORT = {"steps": 12, "batch": 128, "samples": 1000}


class Chain(ms.ClassicalSystem):
    """An open chain of one's own."""

    def energy(self, s):
        return -jnp.sum(s[1:] * s[:-1])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "glass"
    return ms.minimize(ms.SK(**GLASS), out=folder, **SHORT), folder


def test_a_density_is_drawn_from_and_asked(finished):
    run, _ = finished
    x, log_prob = run.sample(2000, seed=5)
    assert (x.shape, x.dtype, log_prob.shape) == ((2000, 8), np.float64, (2000,))
    np.testing.assert_allclose(run.log_prob(x), log_prob, atol=1e-12)
    assert float(run.log_prob(x[0])) == pytest.approx(log_prob[0])
    energy = -0.5 * np.einsum("ai,ij,aj->a", x, run.system.couplings, x)
    f = energy + log_prob / run.beta
    assert abs(f.mean() - run.F.value) < 5 * np.hypot(run.F.error, f.std() / np.sqrt(len(f)))
    with pytest.raises(ms.InputError, match=r"x = array of shape \(2, 3\): must be \(count, \*\(8,\)\)"):
        run.log_prob(np.ones((2, 3)))


def test_observables_after_the_fact(finished):
    run, _ = finished
    found = run.observe({"m2": lambda s: jnp.mean(s) ** 2, "pair": lambda s: s[:2] * s[2:4]}, samples=4000)
    states = 1.0 - 2.0 * ((np.arange(256)[:, None] >> np.arange(8)) & 1)
    weight = np.exp(0.35 * np.einsum("ai,ij,aj->a", states, run.system.couplings, states))
    exact = weight @ states.mean(axis=1) ** 2 / weight.sum()
    for way in (found["m2"].reweighted, found["m2"].unbiased):
        assert abs(way.value - exact) < 4.5 * way.error
    assert found["pair"].variational.value.shape == (2,)
    again = run.evaluate(samples=3000)
    assert again.summary()["samples"] == 3000
    assert again.F.value != run.F.value


def test_a_run_is_read_in_full(finished):
    run, folder = finished
    same = ms.load(folder)
    assert (same.F, same.E, same.S, same.C, same.reference.best) == (run.F, run.E, run.S, run.C, run.reference.best)
    assert same.summary() == run.summary() | {"seconds": same.seconds, "evaluation_seconds": same.evaluation_seconds}
    x, log_prob = run.sample(10)
    np.testing.assert_allclose(same.log_prob(x), log_prob, atol=1e-14)
    np.testing.assert_array_equal(same.result.samples["x"], run.result.samples["x"])


def test_it_shows_itself(finished):
    run, _ = finished
    lines = repr(run).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("sk n=8 beta=0.7 couplings_seed=3: 12 steps")
    assert f"F = {run.F}" in lines[1]
    assert "enumeration" in lines[1]
    assert "<table>" in run._repr_html_()
    assert "data:image/png" in run._repr_html_()


def test_a_script_called_again_continues(tmp_path):
    def script(steps, **more):
        density = ms.densities.MADE(n=6, width=8)
        return ms.minimize(
            Chain(), density, beta=0.5, out=tmp_path / "own", resume=True, **SHORT | {"steps": steps} | more
        )

    first = script(6)
    assert script(6).F == first.F  # read, not run
    further = script(10)
    assert [row["step"] for row in further.metrics] == list(range(10))
    assert ms.load(tmp_path / "own", Chain(), ms.densities.MADE(n=6, width=8)).F == further.F
    with pytest.raises(ms.InputError, match="batch = 256: must be 128 as in"):
        script(10, batch=256)
    with pytest.raises(ms.InputError, match="a run of user"):
        ms.minimize(Chain(), ms.densities.MADE(n=6, width=8), beta=0.6, out=tmp_path / "own", resume=True, **SHORT)
    with pytest.raises(ms.InputError, match="only the script that made it"):
        ms.load(tmp_path / "own")
    with pytest.raises(ms.InputError, match="density = None: must be given, the MADE of this run"):
        ms.load(tmp_path / "own", Chain())


def test_callbacks_stop_and_optimisers_of_optax_train(tmp_path):
    seen = []

    def stop(step, metrics, state):
        seen.append((step, metrics["F"], int(state.step)))
        return step == 5

    run = ms.minimize(ms.SK(**GLASS), optimiser=optax.adabelief(1e-2), callback=stop, out=tmp_path / "a", **SHORT)
    assert [step for step, *_ in seen] == [1, 2, 3, 4, 5] == [step for *_, step in seen]
    assert len(run.metrics) == 5
    assert run.metrics[-1]["F"] == seen[-1][1]
    for given in ({}, {"optimiser": optax.adabelief(1e-2)}):  # nothing is trained: it may be left out
        again = ms.load(tmp_path / "a", **given)
        assert again.F == run.F
        np.testing.assert_array_equal(again.sample(3)[1], run.sample(3)[1])
    with pytest.raises(ms.InputError, match="optimiser = None: must be given"):
        ms.minimize(ms.SK(**GLASS), out=tmp_path / "a", resume=True, **SHORT)
    with pytest.raises(ms.InputError, match=r"learning_rate = 0\.1: must be left out beside an optimiser"):
        ms.minimize(ms.SK(**GLASS), optimiser=optax.sgd(1e-2), learning_rate=0.1, **SHORT)
    with pytest.raises(ms.InputError, match="optimiser = float: must be a name, or a gradient transformation"):
        ms.minimize(ms.SK(**GLASS), optimiser=0.1, **SHORT)
    with pytest.raises(ms.InputError, match="must be a name; electron-gas is trained by natural gradients"):
        ms.minimize(ms.ElectronGas(n=2), optimiser=optax.sgd(1e-2), steps=1)


def test_a_loop_of_one_s_own_is_the_same_training():
    problem = ms.problem(ms.SK(**GLASS), **SHORT)
    state, rows = problem.start, []
    for _ in range(SHORT["steps"]):
        state, metrics = problem.step(state)
        rows.append(float(metrics["F"]))
    run = ms.minimize(ms.SK(**GLASS), **SHORT)
    np.testing.assert_allclose(rows, [row["F"] for row in run.metrics], rtol=1e-12)
    x, log_prob = run.sample(3)
    np.testing.assert_allclose(problem.density(state).log_prob(x, run.beta), log_prob, rtol=1e-5)


def test_progress_of_the_command_line(capsys):
    ms.minimize(ms.SK(**GLASS), progress=True, **SHORT)
    assert "step 12/12" in capsys.readouterr().out
    with pytest.raises(ms.InputError, match="resume = True: must be given with out"):
        ms.minimize(ms.SK(**GLASS), resume=True, **SHORT)


def test_a_run_that_was_saved_is_a_run(finished, tmp_path):
    run, _ = finished
    run.save(tmp_path / "copy")
    same = ms.load(tmp_path / "copy")
    assert same.F == run.F
    other = ms.minimize(ms.SK(**GLASS), **SHORT | {"seed": 1})
    with pytest.raises(ms.InputError, match="it holds another one"):
        other.save(tmp_path / "copy")
    with pytest.raises(ms.InputError, match="a run of sk"):
        ms.minimize(ms.SK(**GLASS | {"beta": 0.6}), **SHORT).save(tmp_path / "copy")
    density = ms.densities.MADE(n=6, width=8)
    ms.minimize(Chain(), density, beta=0.5, **SHORT | {"steps": 2}).save(tmp_path / "own")
    with pytest.raises(ms.InputError, match="density = None: must be given, the MADE of this run"):
        ms.load(tmp_path / "own", Chain())


def test_what_a_script_changed_is_not_continued_in_silence(tmp_path):
    glass = ms.SK(**GLASS)
    out = tmp_path / "run"
    stopped = ms.minimize(glass, out=out, resume=True, callback=lambda step, *_: step == 4, **SHORT)
    again = ms.minimize(glass, out=out, resume=True, callback=lambda step, *_: step == 4, **SHORT)
    assert (again.F, len(again.metrics)) == (stopped.F, 4)
    with pytest.raises(ms.InputError, match=r"optimiser = GradientTransformation.*: must be left out"):
        ms.minimize(glass, out=out, resume=True, optimiser=optax.sgd(1e-2), **SHORT)
    with pytest.raises(ms.InputError, match="steps = 6: must be at least 12"):
        ms.minimize(glass, out=out, resume=True, **SHORT | {"steps": 6})
    with pytest.raises(ms.InputError, match="must be a name; electron-gas"):
        ms.minimize(ms.ElectronGas(n=2), optimiser=optax.sgd(1e-2), out=tmp_path / "gas")
    assert not (tmp_path / "gas").exists()

    def broken(step, metrics, state):
        raise OSError("no such disk")

    with pytest.raises(ms.RunError, match="the callback failed at step 1: no such disk"):
        ms.minimize(glass, callback=broken, **SHORT)


def test_samples_of_one_s_own_are_others(finished):
    run, _ = finished
    assert run.evaluate(samples=500).F != run.evaluate(samples=500, seed=1).F
    assert not np.array_equal(run.sample(50)[0], run.sample(50, seed=1)[0])
    own = run.observe({"energy": lambda s: s[0]}, samples=1000)["energy"]
    assert abs(own.variational.value) < 1  # the function's, not H
    with pytest.raises(ms.InputError, match="samples = 0"):
        run.observe({"m": jnp.mean}, samples=0)


def test_the_same_terms_are_the_same_run_however_numpy_prints():
    from massieu.runs.directory import fingerprint

    qubits = ms.Qubits(hamiltonian="-1.23456789 Z0 Z1 + 0.5 X0", beta=1.0)
    before = fingerprint(qubits, 1.0)
    with np.printoptions(precision=2):
        assert fingerprint(qubits, 1.0) == before
