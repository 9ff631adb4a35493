"""One package per role: card (`__init__`), options, tasks, checks. Templates stand in `templates/<role>/`."""
