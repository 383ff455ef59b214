"""float64 everywhere in the tests, as in every run that ends in a published number."""

import jax
import pytest

jax.config.update("jax_enable_x64", True)


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
