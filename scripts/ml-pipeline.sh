#!/usr/bin/env bash
# From rows in a bucket to a version that serves: the jobs of .github/workflows/ml-pipeline.yml, the same on a laptop.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<END
Usage: scripts/ml-pipeline.sh JOB

Jobs, in order:
  build          sidegate and sidegate-train, into target/release
  validate-data  what the rows of TRAIN_CONFIG are, and what is wrong with them
  train          from the rows to a version of the registry that passed the gate
                   -> run_id, model_name, model_version
  evaluate       that version on rows of its own: TEST_DATA, at least TEST_THRESHOLDS
  card           the version's card, to reports/model_card.md
  deploy-staging the version into Staging
  integration    every gateway of staging answers as the version's file does
  load           LOAD_SCENARIO of loadtests/scenarios on staging, the first gateway of it
  promote        the version into Production
  smoke          production serves the version, passes sidegate smoke, and answers as its file does
  rollback       what was in Production before goes back there, is held, and production serves it
  release        RELEASE: the version for SageMaker
  plan           terraform plan into deploy/terraform/tfplan
  apply          terraform apply of exactly that plan

  run            validate-data to smoke in one go
  local          the same on penguins, with a bucket, a staging and a production of its own, then
                 release, and a second version that is promoted and rolled back; it needs nothing
                 but the binaries, and leaves all of it in target/ml-pipeline

Between jobs: what a job found out (after ->) is written to \$GITHUB_OUTPUT where there is one,
else to WORK/outputs, and asked for as RUN_ID, MODEL_NAME and MODEL_VERSION.
The folder of the run (WORK/runs/RUN_ID) travels as an artifact.

Environment:
  SIDEGATE_REGISTRY__URL   the registry: s3://bucket/prefix, or a folder. Credentials, region
                           and endpoint are AWS's own variables (OIDC's in CI)
  TRAIN_CONFIG             configuration of the training (default: config/train.pipeline.toml)
  TEST_DATA, TEST_TARGET   CSV file of rows that no training sees (s3://… or a path), its target
  TEST_THRESHOLDS          such as "accuracy=0.9 log_loss=0.4"
  STAGING_ENDPOINT, PRODUCTION_ENDPOINT
                           gateways that follow the registry, such as "http://10.0.0.7:8000
                           http://10.0.0.8:8000". Without any the job starts gateways of its own on
                           the registry, \`integration\` two of them
  ENDPOINT_WAIT            seconds that a gateway may take to serve a version (default: 120)
  LOAD_SCENARIO            founding: 100 users, 10 more a second, 5 minutes (default); ci; defaults
  MLFLOW_TRACKING_URI      MLflow server that is told of the training; its credentials are in
                           MLflow's own variables, such as MLFLOW_TRACKING_TOKEN
  MLFLOW_EXPERIMENT_NAME   its experiment there (default: the branch)
  RELEASE                  what \`release\` writes (default: deploy/terraform/release.auto.tfvars.json)
  TF_BACKEND               content of backend.hcl, see deploy/terraform/README.md
  BINARIES                 folder of the binaries (default: target/release)
  WORK                     folder of runs and outputs (default: target/ml-pipeline)

Examples:
  scripts/ml-pipeline.sh local
  SIDEGATE_REGISTRY__URL=s3://models/registry scripts/ml-pipeline.sh train
  RUN_ID=churn-1764322114077 MODEL_NAME=churn MODEL_VERSION=8 scripts/ml-pipeline.sh promote
END
}

train_config=${TRAIN_CONFIG:-config/train.pipeline.toml}
binaries=${BINARIES:-target/release}
work=${WORK:-target/ml-pipeline}
sidegate=$binaries/sidegate
sidegate_train=$binaries/sidegate-train

# === what jobs share ===

say() {
    printf '%s\n' "$*" >&2
}

# wanted NAME…: these variables say what the job is about.
wanted() {
    local name
    for name; do
        [ -n "${!name:-}" ] || fail "$name is not set: an earlier job says it (scripts/ml-pipeline.sh --help)"
    done
}

# output NAME VALUE: for later jobs.
output() {
    mkdir -p "$work"
    printf '%s=%s\n' "$1" "$2" | tee -a "${GITHUB_OUTPUT:-$work/outputs}"
}

# outputs: what earlier jobs found out, for later ones in this process.
outputs() {
    local name value
    while IFS='=' read -r name value; do
        export "${name^^}=$value"
    done <"$work/outputs"
}

# field NAME: of the JSON object on standard input, in which NAME may be a path.
field() {
    "$python" -c '
import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1].split("."):
    value = value[name]
print("" if value is None else value)' "$1"
}

# aws …: the command line of AWS, pinned where there is none.
aws() {
    if ! command -v aws >/dev/null; then
        environment awscli scripts/ml-pipeline.requirements.txt >&2
        PATH=$env/bin:$PATH
    fi
    command aws "$@"
}

# fetched SOURCE: prints the path of a file of the bucket, or the path that it is.
fetched() {
    case $1 in
        s3://*)
            mkdir -p "$work/data"
            # In $(…), where set -e is off.
            aws s3 cp --only-show-errors "$1" "$work/data/" >&2 || return
            echo "$work/data/${1##*/}"
            ;;
        *) echo "$1" ;;
    esac
}

run_folder() {
    wanted RUN_ID
    echo "$work/runs/$RUN_ID"
}

# the_model: prints the run's model file, when it is what was registered.
the_model() {
    local file registered
    wanted MODEL_NAME MODEL_VERSION
    file=$(run_folder)/model.onnx
    [ -f "$file" ] || fail "there is no $file: the artifact of the job train brings it"
    registered=$("$sidegate" registry show "$MODEL_NAME@$MODEL_VERSION" --json | model_digest)
    [ "$registered" = "$(sha256sum "$file" | cut -d ' ' -f 1)" ] ||
        fail "$file is not what version $MODEL_VERSION of $MODEL_NAME has"
    echo "$file"
}

# model_digest: SHA-256 of the model file of the version on standard input.
model_digest() {
    "$python" -c '
import json, sys
print(json.load(sys.stdin)["files"]["model.onnx"]["sha256"].removeprefix("sha256:"))'
}

# Ends the gateways of a job.
gateways=()
stop() {
    local gateway
    for gateway in "${gateways[@]}"; do kill "$gateway" 2>/dev/null || true; done
    for gateway in "${gateways[@]}"; do wait "$gateway" 2>/dev/null || true; done
    gateways=()
}

# endpoints NAME COUNT: sets `endpoints` to what the variable NAME lists, or to so many gateways of our own on the registry.
endpoints() {
    local number
    read -ra endpoints <<<"${!1:-}"
    endpoints=("${endpoints[@]%/}")
    [ ${#endpoints[@]} -eq 0 ] || return 0
    say "$1 is not set: the job's own gateways follow the registry, $2 of them"
    for ((number = 1; number <= $2; number++)); do gateway "$work/gateway$number"; done
}

# gateway FOLDER: starts one, with a cache of its own there, and adds it to `endpoints`.
gateway() {
    local folder=$1 found='' tries=0
    mkdir -p "$folder"
    : >"$folder/out" # or what an earlier job's said may be read, before the one below is as far
    SIDEGATE_REGISTRY__CACHE_DIR=$folder/cache "$sidegate" serve --http 127.0.0.1:0 --admin 127.0.0.1:0 \
        >"$folder/out" 2>"$folder/log" &
    gateways+=($!)
    until found=$(sed -n 's|^listening http=\([^ ]*\) .*|http://\1|p' "$folder/out") && [ -n "$found" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ] || ! kill -0 "${gateways[-1]}" 2>/dev/null; then
            cat "$folder/log" >&2
            fail "the gateway did not start"
        fi
        sleep 0.1
    done
    endpoints+=("$found")
}

# serves STAGE: waits until every endpoint serves the version in that stage.
serves() {
    local stage=$1 endpoint found began=$SECONDS
    for endpoint in "${endpoints[@]}"; do
        found=
        until [ "$found" = "$MODEL_VERSION" ]; do
            [ $((SECONDS - began)) -le "${ENDPOINT_WAIT:-120}" ] ||
                fail "$endpoint serves version '$found' of $MODEL_NAME in $stage and not $MODEL_VERSION"
            found=$(curl -fsS --max-time 10 "$endpoint/model/info?model=$MODEL_NAME&stage=$stage" 2>/dev/null |
                field version 2>/dev/null) || found=
            [ "$found" = "$MODEL_VERSION" ] || sleep 1
        done
        say "$endpoint serves version $MODEL_VERSION of $MODEL_NAME in $stage"
    done
}

# answers REFERENCE: what every endpoint answers to the test's rows is what the version's file answers.
answers() {
    local endpoint file data
    wanted TEST_DATA TEST_TARGET
    file=$(the_model)
    data=$(fetched "$TEST_DATA")
    for endpoint in "${endpoints[@]}"; do
        "$sidegate" try "$file" --against "$endpoint/v2/models/$1/infer" --data "$data" --drop "$TEST_TARGET" --seconds 2
    done
}

# === the jobs ===

job_build() {
    cargo build --locked --release --features train --bins
}

job_validate_data() {
    "$sidegate_train" run "$train_config" --until validate --work "$work/validation"
}

# Production is reached by way of staging and an approval, whatever `auto_deploy` says.
job_train() {
    local result run name version experiment
    local tracked=()
    if [ -n "${MLFLOW_TRACKING_URI:-}" ]; then
        experiment=${MLFLOW_EXPERIMENT_NAME:-$(git branch --show-current)}
        tracked=(--tracking-url "$MLFLOW_TRACKING_URI" ${experiment:+--experiment "$experiment"})
    fi
    mkdir -p "$work"
    "$sidegate_train" run "$train_config" --until register --work "$work/runs" "${tracked[@]}" | tee "$work/result.json"
    result=$(tail -n 1 "$work/result.json")
    run=$(field run_id <<<"$result")
    name=$(field model <<<"$result")
    version=$(field version <<<"$result")
    output run_id "$run"
    output model_name "$name"
    output model_version "$version"
}

job_evaluate() {
    local file data threshold
    local thresholds=()
    wanted TEST_DATA TEST_TARGET TEST_THRESHOLDS
    file=$(the_model)
    data=$(fetched "$TEST_DATA")
    for threshold in $TEST_THRESHOLDS; do thresholds+=(--threshold "$threshold"); done
    mkdir -p reports
    "$sidegate" test "$file" --data "$data" --target "$TEST_TARGET" "${thresholds[@]}" \
        --report reports/model_test.json --junit reports/model_test.xml
}

job_card() {
    mkdir -p reports
    cp "$(run_folder)/card.md" reports/model_card.md
    say "reports/model_card.md is the card of $RUN_ID"
}

job_deploy_staging() {
    wanted RUN_ID MODEL_NAME MODEL_VERSION
    "$sidegate" registry promote "$MODEL_NAME" "$MODEL_VERSION" --stage Staging \
        --why "$RUN_ID passed its gate and its test" --evidence "run:$RUN_ID"
}

job_integration() {
    wanted MODEL_NAME MODEL_VERSION
    endpoints STAGING_ENDPOINT 2
    serves Staging
    answers "$MODEL_NAME@staging"
    stop
}

job_load() {
    local scenario=loadtests/scenarios/${LOAD_SCENARIO:-founding}.conf data report
    wanted MODEL_NAME MODEL_VERSION TEST_DATA TEST_TARGET
    [ -f "$scenario" ] || fail "there is no $scenario; LOAD_SCENARIO names one"
    endpoints STAGING_ENDPOINT 1
    serves Staging
    data=$(fetched "$TEST_DATA")
    # The features alone, which locust sends in the order of the model's inputs.
    curl -fsS "${endpoints[0]}/v2/models/$MODEL_NAME@staging" | "$python" -c '
import csv, json, sys
names = [tensor["name"] for tensor in json.load(sys.stdin)["inputs"]]
with open(sys.argv[1], newline="") as rows:
    writer = csv.writer(sys.stdout)
    writer.writerow(names)
    writer.writerows([row[name] for name in names] for row in csv.DictReader(rows))' "$data" >"$work/load.csv"
    environment locust loadtests/requirements-locust.txt
    mkdir -p reports
    "$env/bin/locust" --locustfile loadtests/locustfile.py --config "$scenario" --headless --only-summary \
        --host "${endpoints[0]}" --model "$MODEL_NAME@staging" --data "$work/load.csv" --actuals-after -1 \
        --html reports/load.html --csv reports/load
    for report in reports/load.html reports/load_stats.csv; do [ -s "$report" ] || fail "locust wrote no $report"; done
    stop
}

job_promote() {
    wanted RUN_ID MODEL_NAME MODEL_VERSION
    "$sidegate" registry promote "$MODEL_NAME" "$MODEL_VERSION" --stage Production \
        --why "$RUN_ID was tried on staging" --evidence "run:$RUN_ID"
}

job_smoke() {
    local endpoint
    wanted MODEL_NAME MODEL_VERSION
    endpoints PRODUCTION_ENDPOINT 1
    serves Production
    for endpoint in "${endpoints[@]}"; do "$sidegate" smoke "$endpoint" --model "$MODEL_NAME" --require-golden; done
    answers "$MODEL_NAME"
    stop
}

job_rollback() {
    wanted RUN_ID MODEL_NAME
    "$sidegate" registry rollback "$MODEL_NAME" --why "the smoke test of $RUN_ID failed"
    MODEL_VERSION=$("$sidegate" registry show "$MODEL_NAME@production" --json | field version)
    endpoints PRODUCTION_ENDPOINT 1
    serves Production
    stop
}

job_release() {
    wanted MODEL_NAME MODEL_VERSION
    "$python" -c '
import json, sys
name, version = sys.argv[1:]
json.dump({"model_name": name, "champion_version": int(version)}, sys.stdout, indent=2)' \
        "$MODEL_NAME" "$MODEL_VERSION" | tee "${RELEASE:-deploy/terraform/release.auto.tfvars.json}"
    echo
}

# In CI nobody can answer a question; plans of pull requests may not take the lock.
terraform_in() {
    TF_IN_AUTOMATION=1 terraform -chdir=deploy/terraform "$1" -input=false "${@:2}"
}

initialised() {
    wanted TF_BACKEND
    printf '%s\n' "$TF_BACKEND" >deploy/terraform/backend.hcl
    terraform_in init -backend-config=backend.hcl
}

job_plan() {
    initialised
    terraform_in plan -out=tfplan -lock="${TF_LOCK:-true}"
}

job_apply() {
    initialised
    terraform_in apply tfplan
}

job_run() {
    rm -f "$work/outputs"
    unset GITHUB_OUTPUT
    job validate-data
    job train
    outputs
    local next
    for next in evaluate card deploy-staging integration ${LOAD_SCENARIO:+load} promote smoke; do job "$next"; done
}

job_local() {
    # shellcheck source=scripts/ml-pipeline-local.sh
    . scripts/ml-pipeline-local.sh
    local_bucket
    job_run
    job release
    local_release
    local_rollback
}

# job NAME
job() {
    local began=$SECONDS
    printf '\n=== %s\n' "$1"
    "job_${1//-/_}"
    printf '%s: %d s\n' "$1" $((SECONDS - began))
}

case ${1:-} in
    -h | --help)
        usage
        exit 0
        ;;
    *)
        if [ $# -ne 1 ] || ! declare -F "job_${1//-/_}" >/dev/null; then
            usage >&2
            exit 2
        fi
        ;;
esac
case $1 in
    build | card | plan | apply | release) ;;
    *)
        for program in "$sidegate" "$sidegate_train"; do
            # What comes as an artifact has lost that.
            [ ! -f "$program" ] || [ -x "$program" ] || chmod +x "$program"
            [ -x "$program" ] || fail "there is no $program: scripts/ml-pipeline.sh build, or name its folder in BINARIES"
        done
        ;;
esac
# The bucket of `local` takes 16 s to end by SIGTERM, and nobody needs it any more.
weed=
cleanup() {
    stop
    [ -z "$weed" ] || kill -9 "$weed" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

job "$1"
