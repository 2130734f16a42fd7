"""Readers of the output formats of agent CLIs."""
