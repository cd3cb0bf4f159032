"""The tests. They mirror the packages of `gateway/`; each docstring is a claim."""
