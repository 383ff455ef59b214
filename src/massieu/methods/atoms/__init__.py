"""Atoms: protons with electrons that follow them, and the equation of state; electrons without protons are not here."""
