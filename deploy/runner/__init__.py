"""The machine's side: applies an order through pyinfra, on the machine itself, and writes the journal."""
