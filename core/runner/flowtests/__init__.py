"""Workflow tests: a workflow's cases, run by the real executor in projects of their own, with played agents."""
