"""Layered configuration: default < user's config.yaml < project's runner.yaml < environment < flag."""

from runner.config.load import load_config
from runner.config.values import Config, Section

__all__ = ["Config", "Section", "load_config"]
