"""Proves the role `mail_client`."""

from __future__ import annotations
