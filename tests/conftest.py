"""float64 everywhere, as in every run that ends in a published number; shapes meet only where the code says how."""

import gc
import os
import tempfile

# one thread for each of pytest's processes: they would only get into each other's way; programs of the first level are
# as quick as those of the highest, and made sooner, some in two thirds of the time
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1 --xla_backend_optimization_level=1",
)
# one cache of compiled programs for all processes of this session, and none from before
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="massieu-tests-")
    os.environ["XDG_CACHE_HOME"] = _cache.name

import equinox as eqx
import jax
import pytest

from massieu.principle import trainable

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", os.environ["XDG_CACHE_HOME"] + "/massieu/xla")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture(scope="module", autouse=True)
def programs_are_dropped():
    """A compiled program holds some tens of memory maps, and a process may hold 65530 (Linux: vm.max_map_count)."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    """refused(arguments, message): exit code 2, one line on stderr that says `message`, nothing written."""
    from massieu.cli.main import main

    def check(arguments, message):
        monkeypatch.chdir(tmp_path)
        before = sorted(tmp_path.iterdir())
        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1 and message in captured.err
        assert sorted(tmp_path.iterdir()) == before

    return check


@pytest.fixture(scope="session")
def moved():
    """A function: the density with its parameters away from where they start."""

    def of(density, size=0.05, seed=5):
        params, static = trainable(density)
        leaves, treedef = jax.tree.flatten(params)
        keys = jax.random.split(jax.random.key(seed), len(leaves))
        leaves = [x + size * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
        return eqx.combine(jax.tree.unflatten(treedef, leaves), static)

    return of


@pytest.fixture
def told():
    """told(text, *beginnings): the lines of a command that say what it does are there, in this order."""

    def check(text, *beginnings):
        lines = iter(text.splitlines())
        for beginning in beginnings:
            assert any(line.startswith(beginning) for line in lines), f"{beginning!r} is not said in its place"

    return check
