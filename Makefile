# Two commands: `make demo` and `make test`. Both install all they need by themselves.
COMMUNE := xa-mau
LIENXA := .venv/bin/lienxa

.PHONY: demo test kernel setup lint unit docs soak bench bench-bytes clean lock

demo: setup
	.ci/demo $(COMMUNE)

# Two modules at a time, labs first: a lab waits more than it works. What shares a lab or tells a story is one module.
test: setup lint
	.venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 40 --durations-min 20

setup:
	@.ci/setup

lint:
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/python -m deploy.docs_maker --check

# A gateway on Debian's own kernel, on an emulated processor: VLANs, CAKE, two lines, WireGuard. Part of `test`.
kernel: setup
	.venv/bin/pytest tests/kernel

# The fast part, while you work.
unit: setup
	.venv/bin/pytest tests/unit

# The pages made from the code: docs/verbs, docs/options.md, and the JSON Schemas.
docs: setup
	.venv/bin/python -m deploy.docs_maker
	$(LIENXA) schema

# One apply of the whole model commune in its lab while its lines are cut 100 times: make soak SEED="1 2 3"
soak: setup
	.venv/bin/python tests/link/soak.py --seed $(or $(SEED),1) --cuts $(or $(CUTS),100) --commune $(COMMUNE)

# lienxa beside Ansible, Mitogen, pyinfra and testinfra, on the lab's machines; writes docs/benchmarks.md. Takes hours.
bench: setup
	.venv/bin/python -m tests.bench --fresh --repeat 3

# How many bytes cross a commune's line; writes docs/benchmarks-bytes.md.
bench-bytes: setup
	.venv/bin/python tests/bench/bytes.py

# Takes the demo's containers down again; the caches in ~/.cache/lienxa stay.
clean:
	-$(LIENXA) lab down $(COMMUNE)

# After a change of dependencies in pyproject.toml or deploy/kit/runtime.in.
lock:
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --all-extras --group dev pyproject.toml -o .ci/requirements.lock
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header deploy/kit/runtime.in -o deploy/kit/runtime.lock
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header tests/bench/requirements.in -o tests/bench/requirements.lock
	.venv/bin/uv pip compile -q --universal --python-version 3.13 --generate-hashes --no-emit-index-url \
		--no-header deploy/lab/tinh.in -o deploy/lab/tinh.lock
