# shellcheck shell=bash
# A bucket of SeaweedFS with penguins in it, and what must be true of jobs whose outcome no other job needs: for
# `scripts/ml-pipeline.sh local`, which sources this after lib.sh.
# shellcheck disable=SC2034,SC2154 # python, cache and env are those of lib.sh; sidegate, train_config and work of the pipeline

# penguins FOLDER: latest/penguins.csv to train on, and test/penguins.csv, every fifth row, which no training sees.
penguins() {
    local package=palmerpenguins==0.1.6
    local digest=9b5193e5c49a7f697ab47635aa3cea036cfc04ae66af992386e86ba89e7456ec
    mkdir -p "$1/package"
    [ -e "$1/package/palmerpenguins-0.1.6.tar.gz" ] ||
        "$python" -m pip download --quiet --no-deps --no-binary=:all: --dest "$1/package" --requirement /dev/stdin \
            <<<"$package --hash=sha256:$digest"
    "$python" - "$1" <<'END'
import csv, io, pathlib, sys, tarfile

folder = pathlib.Path(sys.argv[1])
with tarfile.open(folder / "package/palmerpenguins-0.1.6.tar.gz") as package:
    text = package.extractfile("palmerpenguins-0.1.6/palmerpenguins/data/penguins.csv").read().decode()
header, *rows = csv.reader(io.StringIO(text))
rows = [["" if cell == "NA" else cell for cell in row] for row in rows]
for name, part in {"latest": [r for i, r in enumerate(rows) if i % 5], "test": rows[::5]}.items():
    (folder / name).mkdir(exist_ok=True)
    with open(folder / name / "penguins.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *part])
END
}

# local_bucket: starts it, and says in the environment what a job has to know of it.
local_bucket() {
    local port master volume filer tries=0 name own
    # What a repository has set for its own pipeline is none of these penguins': in CI it is in the environment of every job.
    # To try another threshold or load by hand there is LOCAL_TEST_THRESHOLDS, LOCAL_LOAD_SCENARIO.
    for name in TEST_THRESHOLDS LOAD_SCENARIO; do
        own=LOCAL_$name
        unset "$name"
        [ -z "${!own:-}" ] || export "$name=${!own}"
    done
    unset STAGING_ENDPOINT PRODUCTION_ENDPOINT MLFLOW_TRACKING_URI MLFLOW_EXPERIMENT_NAME
    train_config=config/train.pipeline.toml
    work=target/ml-pipeline # and never WORK: it is emptied
    pinned bucket
    rm -rf "$work"
    mkdir -p "$work/bucket"
    work=$(cd "$work" && pwd)

    # Each HTTP port of it has another one for gRPC, 10000 above.
    read -r port master volume filer < <("$python" - <<'END'
import socket

found = []
while len(found) < 4:
    sockets = [socket.socket(), socket.socket()]
    try:
        sockets[0].bind(("127.0.0.1", 0))
        port = sockets[0].getsockname()[1]
        if port + 10000 < 65536 and port not in found:
            sockets[1].bind(("127.0.0.1", port + 10000))
            found.append(port)
    except OSError:
        pass
    finally:
        [one.close() for one in sockets]
print(*found)
END
    )
    export AWS_ACCESS_KEY_ID=pipeline AWS_SECRET_ACCESS_KEY=pipeline-secret AWS_REGION=us-east-1
    export AWS_ENDPOINT_URL_S3=http://127.0.0.1:$port
    # Credentials of this machine's own have no business here.
    unset AWS_PROFILE AWS_SESSION_TOKEN
    printf '{"identities":[{"name":"t","credentials":[{"accessKey":"%s","secretKey":"%s"}],"actions":["Admin","Read","Write","List","Tagging"]}]}' \
        "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" >"$work/s3.json"
    "$env/bin/weed" server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir="$work/bucket" -master.port="$master" \
        -volume.port="$volume" -filer -filer.port="$filer" -s3 -s3.port="$port" -s3.port.iceberg=0 -s3.port.lance=0 \
        -s3.config="$work/s3.json" -master.volumeSizeLimitMB=64 -volume.max=0 -volume.preStopSeconds=0 \
        -master.telemetry=false >"$work/weed.log" 2>&1 &
    weed=$! # ended by the script that sources this
    until curl -fs -o /dev/null "$AWS_ENDPOINT_URL_S3/status"; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ] || ! kill -0 "$weed" 2>/dev/null; then
            tail -n 20 "$work/weed.log" >&2
            fail "SeaweedFS did not start"
        fi
        sleep 0.2
    done

    penguins "$work/penguins"
    aws s3 mb s3://models
    aws s3 cp --only-show-errors "$work/penguins/latest/penguins.csv" s3://models/data/penguins/latest/
    aws s3 cp --only-show-errors "$work/penguins/test/penguins.csv" s3://models/data/penguins/test/
    export SIDEGATE_REGISTRY__URL=s3://models/registry SIDEGATE_REGISTRY__CACHE_DIR=$work/cache
    export SIDEGATE_REGISTRY__POLL_INTERVAL_MS=1000
    export TEST_DATA=s3://models/data/penguins/test/penguins.csv TEST_TARGET=species
    export TEST_THRESHOLDS=${TEST_THRESHOLDS:-accuracy=0.9}
    # This machine does all the rest too: what waits is late there, and not refused.
    export LOAD_SCENARIO=${LOAD_SCENARIO:-defaults}
    export SIDEGATE_HTTP__QUEUE_WAIT_MS=30000 SIDEGATE_HTTP__REQUEST_TIMEOUT_MS=60000
    export RELEASE=$work/release.auto.tfvars.json
}

# local_release: what was written are variables that deploy/terraform has, with this version.
local_release() {
    "$python" - "$RELEASE" "$MODEL_NAME" "$MODEL_VERSION" <<'END'
import json, pathlib, re, sys

file, name, version = sys.argv[1:]
written = json.loads(pathlib.Path(file).read_text())
known = re.findall(r'^variable "(\w+)"', pathlib.Path("deploy/terraform/variables.tf").read_text(), re.M)
if written != {"model_name": name, "champion_version": int(version)} or not written.keys() <= set(known):
    sys.exit(f"release: {written} is not version {version} of {name} in variables of deploy/terraform")
END
}

# local_rollback: a second version in Production is taken back, and held: it does not come again by itself.
local_rollback() {
    local before=$MODEL_VERSION second held served
    job train
    outputs
    second=$MODEL_VERSION
    [ "$second" != "$before" ] || fail "a second training registered no second version"
    job promote
    job rollback
    held=$("$sidegate" registry show "$MODEL_NAME" --json | field hold.version 2>/dev/null) || held=none
    served=$("$sidegate" registry show "$MODEL_NAME@production" --json | field version)
    [ "$held/$served" = "$before/$before" ] ||
        fail "after the rollback version $served is in Production, held is $held, where $before was before $second"
    if "$sidegate" registry promote "$MODEL_NAME" "$second" --stage Production --why "the hold is tried" 2>"$work/held"; then
        fail "version $second went into Production over the hold of the rollback"
    fi
    grep -q 'hold' "$work/held" || fail "promoting version $second failed for another reason: $(cat "$work/held")"
    echo "version $second was taken back, $before serves and is held"
}
