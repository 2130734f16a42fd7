"""Workflow tests: a workflow's cases, run by the real executor on a project of their own, with agents that are played."""
