"""Where path integrals of fermions stop: the average sign of a quantum dot falls exponentially with n and with beta.

n = 2 .. 6 electrons of one spin in two dimensions, kappa = 2, beta = 1 .. 4, tau = beta/slices = 1/8.
Left: the average sign where it is resolved; a triangle at three errors where it is not; dashed, without repulsion.
Right: F per electron by path-integral Monte Carlo where the sign allows, and of variational runs everywhere.
The time step lowers the sign by a few per cent (bosons meet, of order tau); F of the fermions hardly knows of it.

    massieu sweep quantum-dot --n 2,3,4,5,6 --beta 1,2,3,4 --kappa 2 --out DIR
    python benchmarks/sign_problem.py sign.png --runs DIR [--json sign.json]

Each point is written to the JSON file, and those that are there already are read from it.
"""

import argparse
import json
import math
import time
from pathlib import Path

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from massieu.exact.pimc import average_sign, trap_pimc
from massieu.runs.directory import read_summary

NS, BETAS, DIM, KAPPA, SLICES = (2, 3, 4, 5, 6), (1, 2, 3, 4), 2, 2.0, 8  # slices per unit of beta
FIXED = {"dim": DIM, "kappa": KAPPA, "polarised": True, "statistics": "fermi"}


def sampled(n: int, beta: int, chains: int, sweeps: int) -> dict:
    """F, E, S, sign (each value and error, None where the sign is not resolved) and seconds of one point."""
    began = time.monotonic()
    found = trap_pimc(
        n, DIM, float(beta), KAPPA, "fermi", slices=SLICES * beta, chains=chains, sweeps=sweeps, nodes=4, seed=n
    )
    jax.clear_caches()
    known = math.isfinite(found.fermi.F.value)
    row = {name: getattr(found.fermi, name).as_dict() if known else None for name in ("F", "E", "S")}
    row |= {"n": n, "beta": beta, "slices": found.slices, "sign": found.sign.as_dict()}
    shown = f"F {found.fermi.F}  E {found.fermi.E}" if known else "not resolved"
    print(f"n = {n}  beta = {beta}  sign {found.sign}  {shown}  {time.monotonic() - began:.1f} s", flush=True)
    row |= {"chains": chains, "sweeps": sweeps}
    return row | {"seconds": time.monotonic() - began}


def trained(folder: Path) -> list[dict]:
    """n, beta, F and E of the finished runs of this dot in the folders of a sweep."""
    rows = []
    for path in sorted(folder.glob("*/summary.json")):
        summary = read_summary(path.parent) or {}
        given = summary.get("parameters", {})
        if summary.get("status") == "finished" and all(given.get(k) == v for k, v in FIXED.items()):
            rows.append({"n": given["n"], "beta": given["beta"], "F": summary["F"], "E": summary["E"]})
    return rows


def beside(k: int) -> float:
    """Shift along n that keeps the points of the k-th beta apart from the others."""
    return 0.05 * (k - 0.5 * (len(BETAS) - 1))


def draw_signs(axes: Axes, rows: list[dict]) -> None:
    """<sign> against n for every beta."""
    for k, beta in enumerate(BETAS):
        mine = [row for row in rows if row["beta"] == beta]
        n, sign, error = np.array([(row["n"], row["sign"]["value"], row["sign"]["error"]) for row in mine]).T
        good, at = sign > 3 * error, n + beside(k)
        axes.errorbar(at[good], sign[good], error[good], fmt="o-", ms=4, lw=1, capsize=2, color=f"C{k}")
        axes.plot(at[~good], 3 * error[~good], "v", ms=6, mfc="none", color=f"C{k}")
        axes.plot(NS, [average_sign(n, DIM, float(beta), 0.0).value for n in NS], "--", lw=0.7, color=f"C{k}")
    axes.set(yscale="log", ylim=(3e-4, 1.3), xticks=NS, xlabel="electrons n", ylabel=r"average sign $Z_F/Z_B$")
    marks = [
        ("o", "-", rf"$\kappa$ = {KAPPA:g}"),
        ("v", "", "three errors, not resolved"),
        ("", "--", r"$\kappa$ = 0, exact"),
    ]
    kinds = [Line2D([], [], color="k", marker=m, ls=ls, lw=1, ms=5, mfc="none", label=text) for m, ls, text in marks]
    betas = [Line2D([], [], color=f"C{k}", lw=2, label=rf"$\beta$ = {beta}") for k, beta in enumerate(BETAS)]
    axes.legend(handles=[*betas, *kinds], loc="lower left", fontsize=8, ncols=2)


def draw_free_energies(axes: Axes, rows: list[dict], runs: list[dict]) -> None:
    """F per electron against n: dots by path integrals, open squares of the runs."""
    for k, beta in enumerate(BETAS):
        mine = [(row["n"], row["F"]["value"], row["F"]["error"]) for row in rows if row["beta"] == beta and row["F"]]
        n, F, error = np.array(mine).reshape(-1, 3).T
        axes.errorbar(n + beside(k), F / n, error / n, fmt="o-", ms=4, lw=1, capsize=3, color=f"C{k}")
        bound = sorted((row["n"], row["F"]["value"]) for row in runs if row["beta"] == beta)
        if bound:
            n, F = np.array(bound).T
            axes.plot(n + beside(k), F / n, "s:", ms=8, lw=0.8, mfc="none", color=f"C{k}")
    kinds = [Line2D([], [], color="k", marker="o", ms=4, label="path integrals, where the sign allows")]
    if runs:
        kinds.append(Line2D([], [], color="k", marker="s", ms=8, mfc="none", ls=":", label="variational, upper bound"))
    axes.set(xticks=NS, xlim=(NS[0] - 0.2, NS[-1] + 0.2), xlabel="electrons n", ylabel=r"F/n ($\hbar\omega$)")
    axes.legend(handles=kinds, loc="upper left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figure", help="PNG file to draw")
    parser.add_argument("--runs", type=Path, help="directory of a sweep of quantum-dot over n and beta")
    parser.add_argument("--json", type=Path, help="numbers of the path integrals, written, or read if there")
    parser.add_argument("--chains", type=int, default=128)
    parser.add_argument("--sweeps", type=int, default=600)
    given = parser.parse_args()
    rows = json.loads(given.json.read_text()) if given.json and given.json.exists() else []
    done = [(row["n"], row["beta"]) for row in rows]
    for n, beta in ((n, beta) for n in NS for beta in BETAS if (n, beta) not in done):
        rows.append(sampled(n, beta, given.chains, given.sweeps))
        if given.json:
            given.json.write_text(json.dumps(rows, indent=1))
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_signs(left, rows)
    draw_free_energies(right, rows, trained(given.runs) if given.runs else [])
    figure.savefig(given.figure, dpi=130)


if __name__ == "__main__":
    main()
