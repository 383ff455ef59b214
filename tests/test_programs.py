"""Steps kept between runs: the same numbers, found again only by what they depend on, and never in the way."""

import jax
import numpy as np
import pytest

import massieu as ms
from massieu.methods.method import method_of
from massieu.runs.programs import kept

pytestmark = pytest.mark.quick


@pytest.fixture
def cache(tmp_path):
    """An empty cache of its own."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path / "steps"
    jax.config.update("jax_compilation_cache_dir", before)


def _problem(system, **given):
    method = method_of(system)
    options = method.configure(system, steps=4, batch=16, density="product", **given)
    return method.problem(system, method.ansatz(system, options), system.beta, options), options


def _after(training, steps=2):
    state = training.start
    for _ in range(steps):
        state, metrics = training.step(state)
    return [np.asarray(leaf) for leaf in jax.tree.leaves((state._replace(key=jax.random.key_data(state.key)), metrics))]


def _same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_kept_step_makes_the_same_numbers_now_and_in_the_next_run(cache):
    glass = ms.SK(n=4)
    training, options = _problem(glass)
    plain = _after(training)
    for _ in range(2):  # written, then read
        assert all(
            np.array_equal(a, b) for a, b in zip(plain, _after(kept(training, glass, 1.0, options)), strict=True)
        )
        assert len(list(cache.glob("*.bin"))) == 1


def test_whatever_a_step_depends_on_makes_another_program(cache, tmp_path):
    changed = [
        (ms.SK(n=4), {}),
        (ms.SK(n=4, couplings_seed=1), {}),
        (ms.SK(n=4, beta=2.0), {}),
        (ms.SK(n=4), {"seed": 1}),
    ]
    for count, (glass, given) in enumerate(changed, 1):
        training, options = _problem(glass, **given)
        kept(training, glass, glass.beta, options)
        assert len(list(cache.glob("*.bin"))) == count


def test_same_file_with_other_couplings_is_another_program(cache, tmp_path):
    path = tmp_path / "J.npy"
    for count, coupling in enumerate((1.0, 2.0), 1):
        np.save(path, coupling * (1 - np.eye(3)))
        glass = ms.SK(couplings_file=str(path))
        training, options = _problem(glass)
        kept(training, glass, glass.beta, options)
        assert len(list(cache.glob("*.bin"))) == count


def test_damaged_program_is_made_anew(cache):
    glass = ms.SK(n=4)
    training, options = _problem(glass)
    kept(training, glass, 1.0, options)
    (path,) = cache.glob("*.bin")
    path.write_bytes(path.read_bytes()[:100])
    plain = _after(training)
    assert _same(plain, _after(kept(training, glass, 1.0, options)))


def test_class_of_one_s_own_is_traced_as_ever(cache):
    class Own(ms.SK):
        pass

    own = Own(n=4)
    training, options = _problem(own)
    assert kept(training, own, 1.0, options) is training and not cache.exists()
