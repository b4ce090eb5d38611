"""The engine: knows arrays and nodes, never Tensor, and imports nothing outside this folder but the errors.

``mode``, ``writes``, ``frames``, ``interrupts`` and ``shapes`` say what holds, what was written, which line it was,
what Ctrl-C may cut, and how axes count. ``graph`` is the record of what was computed, ``record`` makes it (forward),
``walk`` follows it back (backward), ``readings`` says how a walk reads the rules. ``arrays``, ``windows`` and
``convolutions`` are what rules and forward functions compute with; ``staging`` is what code outside the engine says
so that a compiler can follow it.
"""
