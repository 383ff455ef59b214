"""Qubits: ensembles of circuit states; how circuits are made is in states/."""
