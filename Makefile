# make demo   install what is needed, and build GNU hello as a Debian package in a sandbox
# make test   install what is needed, and run every check and test
# A fresh Debian 12 machine with make is enough; as an ordinary user this uses sudo for apt-get.

PYTHON  := /usr/bin/python3
VENV    := .venv
SUDO    := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
APT     := env DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends
RUNTIME := bubblewrap uidmap mmdebstrap debian-archive-keyring git ca-certificates python3 python3-venv
TESTING := $(RUNTIME) zstd tmux squashfs-tools procps passwd util-linux zsh fish
OUTPUT  := build-output
PYTEST  := $(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4

.PHONY: demo install test check unit sandbox-tests acceptance bench docs lock clean

demo: install
	$(VENV)/bin/contractor doctor || true
	$(VENV)/bin/contractor build examples/debian-package --output $(OUTPUT)
	@ls -l $(OUTPUT)

install: $(VENV)/installed

$(VENV)/installed: requirements.lock pyproject.toml $(shell find src -name '*.py' -o -path '*/data/*')
	@$(MAKE) --no-print-directory packages PACKAGES="$(RUNTIME)"
	[ -x $(VENV)/bin/python ] || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --require-hashes --requirement requirements.lock
	$(VENV)/bin/pip install --quiet --no-deps --no-build-isolation --force-reinstall .
	@rm -rf build src/*.egg-info
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/installed requirements-dev.lock
	@$(MAKE) --no-print-directory packages PACKAGES="$(TESTING)"
	$(VENV)/bin/pip install --quiet --require-hashes --requirement requirements-dev.lock
	@touch $@

# Ask the package manager only for what is missing: it may take a while, and need a password.
.PHONY: packages
packages:
	@missing="$$(for p in $(PACKAGES); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q ' installed' || echo $$p; done)"; \
	if [ -n "$$missing" ]; then echo "installing: $$missing" && $(SUDO) $(APT) update && $(SUDO) $(APT) -y install $$missing; fi

test: $(VENV)/installed-for-tests check unit sandbox-tests acceptance

check: $(VENV)/installed-for-tests
	$(VENV)/bin/ruff check src tests bench docs
	$(VENV)/bin/ruff format --check src tests bench docs
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

unit: $(VENV)/installed-for-tests
	$(PYTEST) tests/unit tests/store tests/network tests/build tests/buildd

sandbox-tests: $(VENV)/installed-for-tests
	$(PYTEST) tests/sandbox

acceptance: $(VENV)/installed-for-tests
	$(PYTEST) --dist loadgroup tests/acceptance

bench: $(VENV)/installed-for-tests
	@$(MAKE) --no-print-directory packages PACKAGES="hyperfine sbuild chromium"
	$(VENV)/bin/python -m bench

docs: $(VENV)/installed
	$(VENV)/bin/python docs/generate.py

lock:
	$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet pip-tools
	for name in requirements requirements-dev; do $(VENV)-lock/bin/pip-compile --quiet --upgrade --generate-hashes \
	  --allow-unsafe --strip-extras --no-emit-options --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --output-file $$name.lock $$name.in; done
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) $(OUTPUT) build src/*.egg-info
