"""Proves the role `mail`."""

from __future__ import annotations
