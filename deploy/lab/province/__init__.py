"""What the province has, as it runs on `tinh`: its authority, its one-stop portal, and the command that tests ask.

These modules are laid on tinh as they are; only `issuing` and `settings` are also used on the laptop.
"""
