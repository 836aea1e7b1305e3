"""The parts of benchmark_quality.py: a module for each kind of data, the scores, the peers."""
