"""Proves the role `mail`."""

from __future__ import annotations

from roles.mail.web_checks import (
    test_policy_for_senders,
    test_web_refuses_old_tls,
    test_webmail_greets_in_vietnamese,
    test_webmail_hides,
    test_webmail_keeps_strangers_scripts_out,
    test_webmail_refuses_a_wrong_password,
    test_webmail_says,
)

__all__ = [
    "test_policy_for_senders",
    "test_web_refuses_old_tls",
    "test_webmail_greets_in_vietnamese",
    "test_webmail_hides",
    "test_webmail_keeps_strangers_scripts_out",
    "test_webmail_refuses_a_wrong_password",
    "test_webmail_says",
]
