"""The density that options name: for spins and fields by name, for other systems their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from massieu import densities, estimators
from massieu.errors import InputError, require
from massieu.methods.classical import by_example
from massieu.methods.classical.options import OF_FIELDS, OF_SPINS, ClassicalOptions
from massieu.systems.base import ClassicalSystem, PairwiseSpins, by_class
from massieu.systems.lattice_field import LatticeField


def make_density(system: ClassicalSystem, options: ClassicalOptions) -> Any:
    """The density that the options name, with its sizes where given; InputError if it does not fit the system."""
    kind = options.density
    sizes = {k: v for k in ("width", "depth") if (v := getattr(options, k)) is not None}
    if kind == "auto" and not sizes and not options.symmetrise:
        return system.default_density(options.seed)
    by_name: dict[Any, Any] = {PairwiseSpins: (OF_SPINS, _spin_density), LatticeField: (OF_FIELDS, _field_density)}
    names, make = by_class(by_name, type(system)) or ((), _own_density)
    if kind not in ("auto", *names):
        raise InputError(f"density = {kind}: must be one of {', '.join(('auto', *names))} for {system.name}")
    return make(system, kind, options, sizes)


def _own_density(system: ClassicalSystem, kind: str, *_: Any) -> Any:
    raise InputError(f"density = {kind}: must be auto, without width, depth or symmetrise, for {system.name}")


def _spin_density(system: PairwiseSpins, kind: str, options: ClassicalOptions, sizes: dict[str, int]) -> Any:
    lattice: Any = getattr(system, "sides", None)
    if kind == "pixelcnn" and lattice is None:
        raise InputError(f"density = pixelcnn: must be another density for {system.name}, which is not a lattice")
    if "depth" in sizes and kind in ("auto", "blanket", "rnn"):
        raise InputError(f"depth = {options.depth}: must be left out for the density {kind}, which has one layer")
    if kind == "product" and sizes:
        raise InputError(f"density = product: must be without {' and '.join(sizes)}, it has no network")
    n, width, key = system.size, options.width or 32, jax.random.key(options.seed)
    makers: dict[str, Callable[[], Any]] = {
        "blanket": lambda: densities.BlanketMADE(system.couplings, system.field, width=width, seed=options.seed),
        "pixelcnn": lambda: densities.PixelCNN(lattice, key=key, **sizes),
        "rnn": lambda: densities.RNN(n, key=key, width=width),
        "made": lambda: densities.MADE(n, key=key, **sizes),
        "product": lambda: densities.ProductSpins(n, key=key),
        "transformer": lambda: densities.CausalTransformer(n, key=key, **sizes),
    }
    density = makers["blanket" if kind == "auto" else kind]()
    return densities.Symmetrised(density, *densities.spin_flip(n)) if options.symmetrise else density


def _field_density(system: LatticeField, kind: str, options: ClassicalOptions, sizes: dict[str, Any]) -> Any:
    """One of OF_FIELDS, from about the width of the field."""
    if kind == "auto" or options.symmetrise:
        return _own_density(system, kind)
    key = jax.random.key(options.seed)
    if "depth" in sizes and kind == "monge-ampere":
        raise InputError(f"depth = {sizes['depth']}: must be left out for monge-ampere, which has one layer")
    lattice, n, width = system.sides, system.size, system.start_width()
    if kind in ("realnvp", "spline"):
        require(n > 1, "density", kind, "another one for a single site, which couples to nothing")
        return densities.coupled_field(kind, lattice, width, key, **sizes)
    if kind == "neural-rg":
        return densities.NeuralRG(lattice, spectrum=system.free_spectrum(), key=key, **sizes)
    if kind == "diffusion":
        force = jax.grad(lambda x: -system.energy(x))
        return densities.DiffusionSampler(lattice, width, force=force, key=key, **sizes)
    if kind == "continuous":
        return densities.OnLattice(densities.NeuralODE(n, key=key, **sizes), lattice, width)
    group = densities.torus_symmetries(lattice)
    flow = densities.MongeAmpereFlow(n, permutations=group, even=True, key=key, **sizes)
    return densities.OnLattice(flow, lattice, width)


def check_density(options: ClassicalOptions, density: Any) -> None:
    """InputError for a gradient or data that are not for this density."""
    estimators.check(options.gradient, density)
    _check_augmented(options, density)
    by_example.examples(options, density)


def _check_augmented(options: ClassicalOptions, density: Any) -> None:
    """A density whose ln p is that of a path has the pathwise gradient, and no Fisher matrix."""
    if not getattr(density, "augmented", False):
        return
    kind = type(density).__name__
    only = {name for _, name in estimators.parse(options.gradient)} <= {"pathwise", "pathwise-total"}
    require(only, "gradient", options.gradient, f"pathwise for {kind}, which has no ln p(x)")
    require(options.optimiser != "natural", "optimiser", options.optimiser, f"adam for {kind}, which has no ln p(x)")
    require(options.data is None, "data", options.data, f"left out for {kind}, which has no ln p(x)")
