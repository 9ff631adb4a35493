"""The inventory: what a person wrote, checked and resolved. Works offline; never imports pyinfra."""
