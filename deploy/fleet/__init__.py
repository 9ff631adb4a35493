"""The laptop's side: links over OpenSSH, shipping the kit, waves of machines, following their journals."""
