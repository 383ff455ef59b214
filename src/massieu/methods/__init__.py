"""How each kind of matter is trained, evaluated and drawn, behind one interface; systems and runs are not here."""
