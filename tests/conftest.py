"""float64 everywhere in the tests, as in every run that ends in a published number."""

import os
from pathlib import Path

# one thread for each of pytest's processes: they would only get into each other's way
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import equinox as eqx
import jax
import pytest

from massieu.cli import use_compilation_cache
from massieu.principle import trainable

jax.config.update("jax_enable_x64", True)
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / ".pytest_cache")
use_compilation_cache()  # the same programs serve many tests, in both processes and in the next run of them


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    """refused(arguments, message): exit code 2, one line on stderr that says `message`, nothing written."""
    from massieu.cli import main

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
