# Every recipe runs inside .venv; ./just makes it. Bare `./just` lists the recipes.

export PATH := justfile_directory() / ".venv/bin" + ":" + env("PATH")
export UV_PYTHON_DOWNLOADS := "never"
export VIRTUAL_ENV := justfile_directory() / ".venv"

leaves := "contracts shared/core shared/runtime shared/cli services/gateway services/scheduler services/agent-runner services/approval-service"
stamp := ".venv/station-setup"

# List the recipes.
default:
    @just --list --unsorted

# Install the workspace (editable) and the development tools; returns at once when nothing has changed.
setup:
    #!/bin/sh
    set -eu
    wanted=$(pwd; cat constraints.txt pyproject.toml $(for leaf in {{ leaves }}; do echo "$leaf/pyproject.toml"; done))
    if [ -f {{ stamp }} ] && [ "$wanted" = "$(cat {{ stamp }})" ]; then exit 0; fi
    ./just --version >/dev/null
    uv pip install --quiet --constraints constraints.txt --group dev $(for leaf in {{ leaves }}; do echo "--editable ./$leaf"; done)
    printf '%s\n' "$wanted" >{{ stamp }}

# Start everything and run the host-triage workflow to its approval (`--yes` approves it too).
demo *ARGS: setup
    stn demo {{ ARGS }}

# Start NATS and the four services on this machine, until Ctrl-C.
up *ARGS: setup
    stn up {{ ARGS }}

# Stop a system started by `up`, from another terminal.
down *ARGS: setup
    stn down {{ ARGS }}

# Run the whole test suite, two files at a time: most tests wait for processes.
test *ARGS: setup
    pytest -n 2 --dist loadfile {{ ARGS }}

# Run the tests that touch nothing but memory and files of the repository.
test-unit *ARGS: setup
    pytest tests/unit tests/contract tests/simulation {{ ARGS }}

# Run one service at a time against a real NATS server and a real SQLite file.
test-integration *ARGS: setup
    pytest tests/integration {{ ARGS }}

# Run the four real processes through the stories of the product.
test-e2e *ARGS: setup
    pytest tests/e2e {{ ARGS }}

# Check format, lint, types, imports, sizes, generated documents and deployment files.
check: setup lint types verify deploy-check

[private]
lint:
    ruff format --check .
    ruff check .
    lint-imports
    python -m tests.support.check_sizes

[private]
types:
    basedpyright
    basedpyright --project tests/pyrightconfig.json

# Check the Dockerfile, the compose file, the broker's and the collector's configuration, offline.
[private]
deploy-check:
    pytest --quiet tests/contract/test_deployment.py tests/integration/test_broker_rights.py

# Format the code and apply the safe fixes of the linter.
fmt: setup
    ruff check --fix .
    ruff format .

# Write the documents that are generated from the code (tests/support/generate.py).
generate: setup
    python -m tests.support.generate

# Fail if a generated document differs from what the code says now (tests/support/generate.py --check).
verify: setup
    python -m tests.support.generate --check

# Resolve the newest versions that fit together and write them to constraints.txt.
pin: setup
    uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate \
        $(for leaf in {{ leaves }}; do echo "--no-emit-package station-$(basename "$leaf")"; done) \
        pyproject.toml --group dev --output-file constraints.txt

# Write .env for docker compose: a password for each user of the broker. Keeps a file that is there.
secrets:
    #!/bin/sh
    set -eu
    [ -e .env ] && { echo ".env is there already; remove it for new passwords"; exit 0; }
    umask 077
    for user in SCHEDULER GATEWAY AGENT_RUNNER APPROVAL_SERVICE EXTERNAL; do
        # A letter first: the broker reads a bare number as a number.
        echo "NATS_${user}_PASSWORD=s$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
    done >.env

# Measure the workloads (tests/bench.py).
bench *ARGS: setup
    python -m tests.bench {{ ARGS }}

# Kill the processes at random while runs are in flight, and check what is left (tests/chaos.py).
chaos *ARGS: setup
    python -m tests.chaos {{ ARGS }}

# Send requests of every kind to a gateway, by its own OpenAPI document (tests/fuzz.py --seed N --max-examples N).
fuzz *ARGS: setup
    python -m tests.fuzz {{ ARGS }}

# Play the cases of the public dotprompt specification below a folder (tests/dotprompt_spec.py).
dotprompt-spec DIR: setup
    python -m tests.dotprompt_spec {{ DIR }}

# What continuous integration runs, and nothing else.
ci: check test
