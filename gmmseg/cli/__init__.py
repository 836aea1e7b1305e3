"""The command line: one module per command, each a parser and one call of the library.

Begin at `parser.py`. `features_and_fit.py`, `reading.py` and `results.py` hold the options that
commands share; `labelling.py` is what ``segment`` and ``apply`` do with each of their inputs.
Nothing here is imported by the library.
"""
