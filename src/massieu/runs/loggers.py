"""Every step of a run to a logger that others keep: TensorBoard, Weights & Biases or MLflow, by their own libraries.

    with logger("tensorboard", "runs/glass", config) as callback:
        ms.minimize(system, out="runs/glass", callback=callback)

What is logged are the columns of metrics.csv, which is written in any case.
"""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from massieu.errors import InputError, one_of
from massieu.runs.loop import Callback

Config = dict[str, Any]
PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}  # each an extra of its own name


@contextlib.contextmanager
def _tensorboard(library: Any, folder: Path, config: Config) -> Iterator[Callback]:
    """In DIR/tensorboard."""
    with library.SummaryWriter(str(folder / "tensorboard")) as writer:
        writer.add_text("config", "\n".join(f"    {name}: {value}" for name, value in config.items()))

        def log(step: int, row: dict[str, float], state: Any) -> None:
            for name, value in _finite(row).items():
                writer.add_scalar(name, value, step)

        yield log


@contextlib.contextmanager
def _wandb(library: Any, folder: Path, config: Config) -> Iterator[Callback]:
    """A run of the project massieu, named like the directory."""
    run = library.init(project="massieu", name=folder.name, dir=str(folder), config=config)
    try:
        yield lambda step, row, state: run.log(_finite(row), step=step)
    finally:
        run.finish()


@contextlib.contextmanager
def _mlflow(library: Any, folder: Path, config: Config) -> Iterator[Callback]:
    """A run of the experiment massieu, named like the directory."""
    library.set_experiment("massieu")
    with library.start_run(run_name=folder.name):
        library.log_params(config)
        yield lambda step, row, state: library.log_metrics(_finite(row), step=step)


LOGGERS: dict[str, Callable[[Any, Path, Config], AbstractContextManager[Callback]]] = {
    "tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow
}  # fmt: skip


def check_logger(name: str | None) -> None:
    """InputError for a logger that is unknown, or whose library is not installed; none is fine."""
    if name is None:
        return
    one_of("log", name, LOGGERS)
    try:
        importlib.import_module(PACKAGES[name])
    except ImportError:
        missing = f"the package {PACKAGES[name]} is not installed (pip install 'massieu[{name}]')"
        raise InputError(f"log = {name}: must be left out, {missing}") from None


@contextlib.contextmanager
def logger(name: str | None, folder: str | Path, config: Config) -> Iterator[Callback | None]:
    """A callback of `minimize` that logs, while the context lasts; None, which logs nothing, without a name.

    Nothing is made before the first step: the directory of a run has to be its own.
    """
    if name is None:
        yield None
        return
    check_logger(name)
    library, began = importlib.import_module(PACKAGES[name]), list[Callback]()
    with contextlib.ExitStack() as stack:

        def log(step: int, row: dict[str, float], state: Any) -> None:
            if not began:
                began.append(stack.enter_context(LOGGERS[name](library, Path(folder), config)))
            began[0](step, row, state)

        yield log


def _finite(row: dict[str, float]) -> dict[str, float]:
    """What loggers can show."""
    return {name: value for name, value in row.items() if name != "step" and math.isfinite(value)}
