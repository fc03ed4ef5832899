"""The parts of loadtests/run.py."""
