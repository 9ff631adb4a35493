"""lienxa: sets up, proves and hands over all that a commune's offices run on."""
