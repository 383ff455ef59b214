"""new: a commented example of a system of one's own, that runs at once."""

from __future__ import annotations

import keyword
from pathlib import Path

from massieu.cli.arguments import Parser
from massieu.cli.main import COMMANDS
from massieu.errors import InputError, one_of, require

CLASSICAL = '''"""{title}: a classical system of one's own.  Run it: python {name}.py"""

import jax.numpy as jnp

import massieu as ms


class {title}(ms.ClassicalSystem):
    """H = -j sum_i s_i s_(i+1) - h sum_i s_i on a ring of n spins +-1.  Write your own energy here."""

    n: int = ms.parameter(12, "number of spins")
    j: float = ms.parameter(1.0, "coupling")
    h: float = ms.parameter(0.1, "field")

    @property
    def configuration(self):  # the shape of one configuration
        return (self.n,)

    def energy(self, s):  # of one configuration, with jax.numpy; a number
        return -self.j * jnp.sum(s * jnp.roll(s, 1)) - self.h * jnp.sum(s)

    def observables(self, s):  # averaged in the final evaluation, with errors
        return {{"m": jnp.mean(s)}}


if __name__ == "__main__":
    system = {title}()
    density = ms.densities.MADE(n=system.n)  # any density of the right shape: ms.densities, or flowjax's
    run = ms.minimize(system, density, beta=1.0, steps=200, batch=512, progress=True)
    print(run)  # F >= -ln Z/beta, always; "reweighted" and "unbiased" averages are exact where the ESS is good
    print("m:", run.result.observables["m"])
    run.report("runs/{name}")  # figures and report.html; fails if the directory is there already
'''
PARTICLES = '''"""{title}: electrons in a box with a potential of one's own (Ry, a0).  Run it: python {name}.py"""

import jax.numpy as jnp

import massieu as ms


class {title}(ms.PeriodicElectrons):
    """H = -sum_i lap_i + sum_(i<j) 2 exp(-r_ij/screening)/r_ij.  Write your own potential here."""

    screening: float = ms.parameter(2.0, "screening length (a0)")
    pole = 1.0  # q of a potential that is 2 q/r where two electrons meet: cusps of correlated states

    def potential(self, x):  # Ry, of positions x (n, dim) in units of the box, spins up first
        r = self.pair_distances(x)  # (pairs,) in a0, to the nearest image
        return jnp.sum(2 * jnp.exp(-r / self.screening) / r)


if __name__ == "__main__":
    system = {title}(n=3, rs=2.0, theta=0.5)
    run = ms.minimize(system, steps=60, batch=128, samples=4000, progress=True)
    print(run)
    run.report("runs/{name}")  # figures and report.html; fails if the directory is there already
'''
QUBITS = '''"""{title}: qubits with a Hamiltonian of one's own.  Run it: python {name}.py"""

import massieu as ms

lattice = ms.lattice("triangular", "2x3")  # any graph; or write the terms yourself, one a line: -1.0 Z0 Z1
system = ms.Qubits(hamiltonian=lattice.pauli({{"ZZ": 1.0}}, {{"X": -0.5}}), beta=1.0)

if __name__ == "__main__":
    run = ms.minimize(system, steps=200, progress=True)
    print(run)
    run.report("runs/{name}")  # figures and report.html; fails if the directory is there already
'''
KINDS = {"classical": CLASSICAL, "particles": PARTICLES, "qubits": QUBITS}


def new(arguments: list[str]) -> int:
    """Write NAME.py."""
    parser = Parser(prog="massieu new", description=COMMANDS["new"].help)
    parser.add_argument("name", metavar="NAME", help="of the file, a name of Python: my_model")
    parser.add_argument("--kind", default="classical", help=f"{', '.join(KINDS)} (default: classical)")
    values = parser.parse(arguments)
    one_of("kind", values.kind, list(KINDS))
    name = values.name.removesuffix(".py")
    good = name.isidentifier() and not keyword.iskeyword(name)
    require(good, "name", values.name, "a name of Python, letters, digits and _, such as my_model")
    title = "".join(word.capitalize() for word in name.split("_")) or "Model"
    path = Path(f"{name}.py")
    try:
        with open(path, "x") as file:
            file.write(KINDS[values.kind].format(name=name, title=title))
    except FileExistsError:
        raise InputError(f"name = {values.name}: must be a new one, {path} is there") from None
    print(f"{path}: run it with: python {path}")
    return 0
