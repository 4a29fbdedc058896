# A checkout on a bare machine: `make demo` and `make test` need Python 3.10 to 3.12, its headers,
# g++ and the network, and bring ROS 2 with them. Where ROS 2 is installed, build with colcon.

DISTRO ?= kilted
PYTHON ?= python3
ARGS ?=

VENV := .venv-$(DISTRO)
RUN := $(VENV)/bin/python

# An installed and sourced ROS 2 must not mix with the one in the environment.
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH \
  RMW_IMPLEMENTATION ROS_DISTRO ROS_PYTHON_VERSION ROS_VERSION _ROS_WHEELS_BOOTSTRAP_COMPLETE

.PHONY: demo check test lint parameters benchmark clean

demo:
	$(PYTHON) bootstrap/environment.py $(DISTRO)
	$(RUN) -m dual_cnn_ros.tools.demo $(ARGS)

# The quick one, to run before every commit: no node is started and torch is not imported.
check: lint
	$(RUN) -m pytest -m 'not ros and not slow' $(ARGS)

test: lint
	$(RUN) -m pytest $(ARGS)
	$(RUN) bootstrap/check_workspace.py
	$(PYTHON) bootstrap/environment.py oldest
	.venv-oldest/bin/python -m pytest -m 'not ros'

lint: test-environment
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	.venv-test/bin/lint-imports

# Writes config/*.yaml and the tables of docs/nodes.md from what the nodes declare.
parameters: test-environment
	$(RUN) bootstrap/write_parameters.py

benchmark: test-environment
	$(RUN) -m pytest test/benchmarks $(ARGS)
	PYTHONPATH=. $(RUN) test/benchmarks/node_cost.py

.PHONY: test-environment
test-environment:
	$(PYTHON) bootstrap/environment.py $(DISTRO) --test

clean:
	rm -rf .venv-* .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -prune -exec rm -rf {} +
