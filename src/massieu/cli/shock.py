"""hugoniot: shock states of hydrogen from a table or a sweep."""

from __future__ import annotations

from pathlib import Path

from massieu.cli.arguments import Parser, checked
from massieu.errors import InputError, finite, one_of, require


def hugoniot(arguments: list[str]) -> int:
    """The shock Hugoniot of a table of E and P, or of a finished sweep."""
    from massieu.observables.hugoniot import DEUTERON, PROTON, InitialState, read_table
    from massieu.observables.hugoniot import hugoniot as solve
    from massieu.report import hugoniot as shock

    parser = Parser(prog="massieu hugoniot", description="E - E0 + (P + P0)(V - V0)/2 = 0 along isotherms")
    parser.add_argument(
        "table", help="T_K, rs, E_Ha_per_atom, E_err, P_GPa, P_err as .csv, or the directory of a sweep"
    )
    parser.add_argument("--set", help="rows of the table whose column `set` says so")
    before = (("density", 0.171, "g/cm3"), ("energy", -0.583808, "Ha per atom"), ("pressure", 0.0, "GPa"))
    for name, default, unit in before:
        text = f"before the shock, {unit} (default: {default})"
        parser.add_argument(f"--{name}", type=checked(name, float), default=default, help=text)
    parser.add_argument("--isotope", default="d", help="h or d (default: d)")
    parser.add_argument(
        "--out", metavar="FILE", help="figure (.png) beside published points, and the same name as .csv"
    )
    values = vars(parser.parse(arguments))
    one_of("isotope", values["isotope"], ("h", "d"))
    for name, *_ in before:
        finite(name, values[name])
    out = Path(values["out"]) if values["out"] else None
    if out is not None:
        require(out.suffix == ".png" and out.parent.is_dir(), "out", out, "a .png file in a directory that exists")
    source = Path(values["table"])
    require(values["set"] is None or not source.is_dir(), "set", values["set"], "left out for the directory of a sweep")
    isotherms = shock.isotherms_of_sweep(source) if source.is_dir() else read_table(source, values["set"])
    start = InitialState(values["density"], values["energy"], values["pressure"])
    points = solve(isotherms, start, {"h": PROTON, "d": DEUTERON}[values["isotope"]])
    if not points:
        where = ", ".join(f"{i.temperature:g} K (rs {i.rs.min():g} to {i.rs.max():g})" for i in isotherms)
        raise InputError(f"table = {source}: must enclose a shock state, none does: {where}")
    print(shock.table(points))
    missed = sorted({i.temperature for i in isotherms} - {p.temperature for p in points})
    if missed:
        print(f"no shock state between the densities of the table at {', '.join(f'{t:g}' for t in missed)} K")
    if out is not None:
        shock.write_csv(points, out.with_suffix(".csv"))
        shock.figure(points).savefig(out, dpi=130)
        print(f"figure: {out}")
    return 0
