"""A machine calls itself: its browser in the service's echo room, and what became of sound and picture."""
