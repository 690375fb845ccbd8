# Two commands: `make rl` runs the main job, `make test` passes all tests. Both set everything up.
#   make rl ARGS="--state --seed 1"      make test PYTEST_ARGS="-k gate"      make PYTHON=/path/to/python test

PYTHON ?=
VENV ?= .venv
ARGS ?=
BENCH ?= build/bench
PYTEST_ARGS ?=

# A shell that has sourced /opt/ros would mix another ROS into the environment: these variables
# stay out of every command. The same list, with reasons, is in so101_bringup/environment.py.
FOREIGN_VARIABLES := PYTHONPATH PYTHONHOME LD_LIBRARY_PATH \
  AMENT_PREFIX_PATH AMENT_CURRENT_PREFIX COLCON_PREFIX_PATH COLCON_CURRENT_PREFIX \
  CMAKE_PREFIX_PATH PKG_CONFIG_PATH RMW_IMPLEMENTATION \
  ROS_DISTRO ROS_VERSION ROS_PYTHON_VERSION ROS_PACKAGE_PATH ROS_ROOT ROS_ETC_DIR ROS_MASTER_URI \
  _ROS_WHEELS_BOOTSTRAP_COMPLETE
CLEAN := env $(addprefix -u ,$(FOREIGN_VARIABLES))
IN_VENV := $(CLEAN) OMP_NUM_THREADS=1
BIN := $(VENV)/bin

.PHONY: help setup lerobot rl test tests lint format chaos bench where doctor-gl lock clean

help:
	@echo "make rl      set up, then demonstrations, training and evaluation (ARGS=--help for options)"
	@echo "make test    set up, then checks and all tests"
	@echo "make setup   the virtual environment $(VENV); instant and offline when it is up to date"
	@echo "make lerobot setup with LeRobot: its policies, export-lerobot and import-lerobot"
	@echo "make lint    ruff, mypy, import-linter       make format  ruff format"
	@echo "make chaos   long kill and fuzz rounds       make bench   all benchmarks, small"
	@echo "make where   which Python, numpy and ROS     make doctor-gl  can cameras be rendered"

setup:
	@tools/check_platform.sh
	@python=$$($(CLEAN) tools/find_python.sh "$(VENV)" "$(PYTHON)") \
	  && $(CLEAN) "$$python" tools/setup_venv.py --venv "$(VENV)" $(SETUP_ARGS)

# What the tests need on top, and who uses LeRobot's policies or datasets. Empty on Python 3.11.
lerobot: SETUP_ARGS := --lerobot
lerobot: setup

rl: setup
	@$(CLEAN) $(BIN)/so101 rl $(ARGS)

# The checks run beside the tests, and their lines come together when they are done.
test: lerobot doctor-gl
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target lint tests

tests: lerobot
	+@env -u MAKEFLAGS $(IN_VENV) HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --no-loadscope-reorder $(PYTEST_ARGS)

lint: setup
	@$(IN_VENV) $(BIN)/ruff check .
	@$(IN_VENV) $(BIN)/ruff format --check .
	@$(IN_VENV) $(BIN)/mypy
	@$(IN_VENV) $(BIN)/lint-imports

format: setup
	@$(IN_VENV) $(BIN)/ruff check --fix .
	@$(IN_VENV) $(BIN)/ruff format .

chaos: setup
	@$(IN_VENV) HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m chaos --timeout 3600 $(PYTEST_ARGS)

# Every benchmark, small enough to see that it works; without --small each takes its full size.
bench: setup
	@mkdir -p $(BENCH)
	@set -e; for file in benchmarks/*.py; do \
	  out=$(BENCH)/$$(basename $$file .py).json; rm -f $$out; echo "== $$file"; \
	  $(IN_VENV) $(BIN)/python $$file --small --out $$out > /dev/null; done
	@echo "so101: results in $(BENCH)"

# Prints where the environment's modules come from: proof that no other ROS is mixed in.
where:
	@$(CLEAN) $(BIN)/python -c "import sys, numpy, rclpy, sensor_msgs; \
	  print(*(m.__file__ for m in (numpy, rclpy, sensor_msgs)), sys.executable, sep='\n')"

# Never an error: state mode and most tests need no OpenGL, and those that do say so themselves.
doctor-gl:
	@$(CLEAN) PYTHONPATH=. $(BIN)/python tools/check_gl.py || true

lock: setup
	@$(CLEAN) $(BIN)/python tools/write_lock.py

clean:
	rm -rf $(VENV) build install log dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
	  .hypothesis .import_linter_cache .coverage
