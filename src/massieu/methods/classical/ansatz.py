"""The density that options name: for spins and fields by name, for other systems their own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import jax
import numpy as np
from flowjax.distributions import AbstractDistribution

from massieu import densities, estimators
from massieu.densities.named import named
from massieu.densities.relative import relative_angles
from massieu.errors import InputError, require
from massieu.methods.classical import by_example
from massieu.methods.classical.options import (
    OF_ANGLES,
    OF_FIELDS,
    OF_OWN,
    OF_SPINS,
    OF_STATES,
    ClassicalOptions,
)
from massieu.systems.base import ClassicalSystem, PairwiseSpins
from massieu.systems.inheritance import by_class
from massieu.systems.ising import Ising
from massieu.systems.lattice_field import LatticeField
from massieu.systems.phi4 import Phi4
from massieu.systems.potts import Potts
from massieu.systems.states import StateSpins
from massieu.systems.xy import XY


def make_density(system: ClassicalSystem, options: ClassicalOptions) -> Any:
    """The density that the options name, with its sizes where given; InputError if it does not fit the system."""
    return maker(system, options)()


def maker(system: ClassicalSystem, options: ClassicalOptions) -> Callable[[], Any]:
    """What makes the density, which can take long; what does not fit the system is refused before."""
    kind = options.density
    sizes = {k: v for k in ("width", "depth") if (v := getattr(options, k)) is not None}
    if kind == "auto" and not sizes and not options.symmetrise:
        return partial(system.default_density, options.seed)
    by_name: dict[Any, Any] = {
        PairwiseSpins: (OF_SPINS, _spin_density),
        StateSpins: (OF_STATES, _state_density),
        XY: (OF_ANGLES, _angle_density),
        LatticeField: (OF_FIELDS, _field_density),
    }
    nothing: Any = (OF_OWN, _named_density) if _is_bare(system) else ((), _own_density)
    names, make = by_class(by_name, type(system)) or nothing
    if kind not in ("auto", *names):
        raise InputError(f"density = {kind}: must be one of {', '.join(('auto', *names))} for {system.name}")
    return make(system, kind, options, sizes)


def check_named(system: ClassicalSystem, options: ClassicalOptions) -> None:
    """What making the density would refuse, without making it: one of the same class for a few sites stands for it."""
    maker(system, options)
    alike = dataclasses.replace(options, data=None)
    few: dict[Any, Any] = {PairwiseSpins: Ising(l=2), StateSpins: Potts("3"), XY: XY("3"), LatticeField: Phi4(l=2)}
    small = by_class(few, type(system))
    if small is not None:
        check_density(alike, make_density(small, alike))


def _own_density(system: ClassicalSystem, kind: str, *_: Any) -> NoReturn:
    raise InputError(f"density = {kind}: must be auto, without width, depth or symmetrise, for {system.name}")


def _is_bare(system: ClassicalSystem) -> bool:
    """Whether a system of the user's has no default density: any named one may suit its configurations."""
    return type(system).default_density is ClassicalSystem.default_density


def _named_density(
    system: ClassicalSystem, kind: str, options: ClassicalOptions, sizes: dict[str, Any]
) -> Callable[[], Any]:
    """One of OF_OWN for the shape of the configurations: spins +-1, reals from a standard normal, or angles."""
    shape, key = system.configuration, jax.random.key(options.seed)
    require(kind != "auto", "density", kind, f"one of {', '.join(OF_OWN)}; {type(system).__name__} has no default")
    unknown = f"an object: {type(system).__name__} does not say `configuration`, the shape of its configurations"
    require(shape is not None, "density", kind, unknown)
    n = math.prod(shape)  # type: ignore[arg-type]
    _check_product(kind, sizes)
    one_layer = kind in ("rnn", "monge-ampere")
    allowed = f"left out for the density {kind}, which has one layer"
    require(not (one_layer and "depth" in sizes), "depth", options.depth, allowed)
    pair = kind in ("realnvp", "spline")
    require(n > 1 or not pair, "density", kind, "another one for a single number, which couples to nothing")
    spins = kind in OF_SPINS
    require(
        spins or not options.symmetrise, "symmetrise", options.symmetrise, f"false for {kind}, which is not of spins"
    )

    def make() -> Any:
        made = named(kind, n, key, **sizes)
        flipped = densities.Symmetrised(made, *densities.spin_flip(n)) if options.symmetrise else made
        return densities.reshaped(flipped, tuple(shape))  # type: ignore[arg-type]

    return make


def _check_product(kind: str, sizes: dict[str, Any]) -> None:
    if kind == "product" and sizes:
        raise InputError(f"density = product: must be without {' and '.join(sizes)}, it has no network")


def _spin_density(
    system: PairwiseSpins, kind: str, options: ClassicalOptions, sizes: dict[str, int]
) -> Callable[[], Any]:
    lattice: Any = getattr(system, "sides", None)
    if kind == "pixelcnn" and lattice is None:
        raise InputError(f"density = pixelcnn: must be another density for {system.name}, which is not a lattice")
    if "depth" in sizes and kind in ("auto", "blanket", "rnn"):
        raise InputError(f"depth = {options.depth}: must be left out for the density {kind}, which has one layer")
    _check_product(kind, sizes)
    n, width, key = system.size, options.width or 32, jax.random.key(options.seed)
    makers: dict[str, Callable[[], Any]] = {
        "blanket": lambda: densities.BlanketMADE(system.couplings, system.field, width=width, seed=options.seed),
        "pixelcnn": lambda: densities.PixelCNN(lattice, key=key, **sizes),
    }
    kind = "blanket" if kind == "auto" else kind
    make = makers.get(kind, partial(named, kind, n, key, **sizes))
    return (lambda: densities.Symmetrised(make(), *densities.spin_flip(n))) if options.symmetrise else make


def _state_density(
    system: StateSpins, kind: str, options: ClassicalOptions, sizes: dict[str, int]
) -> Callable[[], Any]:
    """Of q states; without fields exactly the same for s -> s + 1 mod q."""
    _never_symmetrised(system, options)
    if kind in ("auto", "blanket"):
        require("depth" not in sizes, "depth", options.depth, f"left out for the density {kind}, which has one layer")
        width, couplings = options.width or 32, system.couplings
        return lambda: densities.StateBlanket(
            couplings, system.directions, system.field, width=width, seed=options.seed
        )
    free = system.size > 1 and not np.any(system.field)
    make = partial(densities.StateMADE, system.size - free, system.q, key=jax.random.key(options.seed), **sizes)
    return (lambda: densities.Relative(make())) if free else make


def _angle_density(system: XY, kind: str, options: ClassicalOptions, sizes: dict[str, int]) -> Callable[[], Any]:
    """Without fields exactly the same where all angles turn together."""
    _never_symmetrised(system, options)
    free, couplings = not np.any(system.field), system.couplings
    if kind in ("auto", "blanket"):
        require("depth" not in sizes, "depth", options.depth, f"left out for the density {kind}, which has one layer")
        width, knots = options.width or 16, system.knots()
        return lambda: densities.AngleBlanket(couplings, system.field, width=width, knots=knots, seed=options.seed)
    return partial(relative_angles, couplings, free=free, key=jax.random.key(options.seed), **sizes)


def _never_symmetrised(system: ClassicalSystem, options: ClassicalOptions) -> None:
    allowed = f"false for {system.name}, whose densities have its rotations exactly where there are no fields"
    require(not options.symmetrise, "symmetrise", options.symmetrise, allowed)


def _field_density(
    system: LatticeField, kind: str, options: ClassicalOptions, sizes: dict[str, Any]
) -> Callable[[], Any]:
    """One of OF_FIELDS, from about the width of the field."""
    if kind == "auto" or options.symmetrise:
        _own_density(system, kind)
    if "depth" in sizes and kind == "monge-ampere":
        raise InputError(f"depth = {sizes['depth']}: must be left out for monge-ampere, which has one layer")
    if kind in ("realnvp", "spline"):
        require(system.size > 1, "density", kind, "another one for a single site, which couples to nothing")
    return partial(_made_field, system, kind, jax.random.key(options.seed), sizes)


def _made_field(system: LatticeField, kind: str, key: Any, sizes: dict[str, Any]) -> Any:
    lattice, n, width = system.sides, system.size, system.start_width()
    if kind in ("realnvp", "spline"):
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


def fitted(system: ClassicalSystem, density: Any) -> Any:
    """A density for a system of one's own, reshaped where only the shape differs; others are refused below."""
    shape, own = getattr(density, "shape", None), system.configuration
    plain = isinstance(density, AbstractDistribution) and not getattr(density, "augmented", False)
    if not (plain and _is_bare(system)) or own is None or shape is None or math.prod(shape) != math.prod(own):
        return density
    return densities.reshaped(density, own)


def check_shape(system: ClassicalSystem, density: Any) -> None:
    """InputError for what is no density, or one of other configurations than the system's."""
    name = type(density).__name__
    interface = all(hasattr(density, part) for part in ("shape", "cond_shape", "sample_and_log_prob", "log_prob"))
    require(interface, "density", name, "one with shape, cond_shape, log_prob and sample_and_log_prob, as flowjax has")
    shape, own = tuple(density.shape), system.configuration
    given = f"{name} of shape {shape}"
    require(own in (None, shape), "density", given, f"of shape {own}, that of the configurations of {system.name}")
    try:
        energy = jax.eval_shape(system.energy, jax.ShapeDtypeStruct(shape, float))
    except (TypeError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0]
        allowed = f"of a shape that the energy of {type(system).__name__} takes ({reason})"
        raise InputError(f"density = {given}: must be {allowed}") from None
    found = getattr(energy, "shape", None)
    require(
        found == (), "energy", f"of shape {found}", f"one number, of a configuration of the density's shape {shape}"
    )


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
