"""What people and programs read of a run: live console, JSON lines, JUnit, HTML."""
