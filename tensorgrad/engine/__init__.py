"""The engine: works on arrays and nodes, never on Tensor, and imports nothing outside this folder but the errors.

``mode`` holds the current settings, ``writes`` logs in-place writes, ``frames`` finds source lines, ``interrupts``
defers Ctrl-C, and ``shapes`` handles broadcasting and axes. ``graph`` is the record of a computation: ``record``
builds it (forward), ``walk`` follows it back (backward), and ``readings`` says how a walk evaluates the rules.
``arrays``, ``windows`` and ``convolutions`` are what rules and forward functions compute with. ``staging`` is for code
outside the engine, so that a compiler can follow it.
"""
