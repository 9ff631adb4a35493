"""Templates of the roles; each stands at the path it has on the machine, below `templates/<role>/`."""
