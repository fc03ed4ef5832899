#!/usr/bin/env python3
"""What `terraform validate` would say of deploy/terraform if the provider could be had, and what must hold of it besides.

    scripts/check-terraform.py cdktn_provider_aws-….whl      a line for each fault, exit code 1 when there is one

The provider's schema is read out of the package that the CDK for Terraform makes from it: every argument and block of
every aws_ resource is known to it, is a block where it is written as one, and none that is required is missing. Variables,
locals, resources and attributes that are named exist. Then: no action is `*`, and `*` is a resource only in the statements
of WILD; no account is written down; nothing that is current in the bucket of models is archived or expires; SageMaker may
hand on the key that it is to encrypt volumes by. Needs python-hcl2.
"""

import re
import sys
import tarfile
import zipfile
from pathlib import Path

import hcl2

ROOT = Path(__file__).resolve().parent.parent / "deploy/terraform"
META = {"count", "for_each", "depends_on", "lifecycle", "provider", "dynamic", "__comments__", "__inline_comments__", "__is_block__"}
# Where AWS knows no narrower resource, or "*" means the key itself, or the statement denies.
WILD = {"TheAccountsOwnPoliciesDecide", "LogsOfThisProject", "AlarmsToTheTopic", "LogInToEcr", "Measure", "Trace", "TlsOnly"}
# Classes of S3 that are not read within milliseconds.
ARCHIVES = {"GLACIER", "DEEP_ARCHIVE"}

ENTRY = re.compile(r'(\w+): \{\s+value: .*?,\s+isBlock: (true|false),\s+type: "\w+",\s+storageClassType: "(\w+)"', re.S)
KEY = re.compile(r"aws_kms_key\.\w+\.arn")
FACTS = re.compile(r"// (\w+) - computed: (\w+), optional: (\w+), required: (\w+)")


class Provider:
    """Its schema, type by type."""

    def __init__(self, wheel):
        with zipfile.ZipFile(wheel) as packed:
            [name] = [name for name in packed.namelist() if name.endswith(".jsii.tgz")]
            self.archive = tarfile.open(packed.extract(name, Path(wheel).parent))
        self.members = {member.name: member for member in self.archive.getmembers()}
        self.read = {}

    def parts(self, kind):
        """By class: its code, and what its blocks can hold. None: there is no such type."""
        if kind not in self.read:
            self.read[kind] = self.read_type(kind)
        return self.read[kind]

    def read_type(self, kind):
        name = kind.removeprefix("data.").removeprefix("aws_").replace("_", "-")
        member = self.members.get(f"package/lib/{'data-aws-' if kind.startswith('data.') else ''}{name}/index.js")
        if member is None:
            return None
        code = self.archive.extractfile(member).read().decode()
        classes = dict(re.findall(r"^class (\w+) extends [^\n]+\{\n(.*?)^\}", code, re.M | re.S))
        written = dict(re.findall(r"^function (\w+)ToHclTerraform\(.*?\) \{\n(.*?)^\}", code, re.M | re.S))
        return classes, {name.lower(): body for name, body in written.items()}

    def block(self, kind, path=()):
        """(name → (whether it is a block, class of it), names that are required) of a block of a type, or None."""
        parts = self.parts(kind)
        if parts is None:
            return None
        classes, written = parts
        if not path:
            [body] = [body for body in classes.values() if "synthesizeHclAttributes() {" in body]
            entries, facts = body.split("synthesizeHclAttributes() {", 1)[1], body
        else:
            entries = written.get(path[-1].lower(), "")
            facts = classes.get(f"{path[-1]}OutputReference", "")
        known = {name: (block == "true", re.sub(r"List$", "", of)) for name, block, of in ENTRY.findall(entries)}
        return known, {name for name, _, _, required in FACTS.findall(facts) if required == "true"}

    def attributes(self, kind):
        """Every attribute that may be asked of a resource of this type."""
        classes, _ = self.parts(kind)
        [body] = [body for body in classes.values() if "synthesizeHclAttributes() {" in body]
        return {name for name, *_ in FACTS.findall(body)}


def plain(name):
    return name.strip('"')


def blocks(body):
    """(name, bodies) of every block in a body; those of `dynamic` are what they make."""
    for name, value in body.items():
        if name == "dynamic":
            for made in value:
                for inner, told in made.items():
                    yield plain(inner), told["content"]
        elif isinstance(value, list) and value and isinstance(value[0], dict) and "__is_block__" in value[0]:
            yield name, value


class Checker:
    def __init__(self, provider, folder):
        self.provider, self.folder, self.faults, self.blocks = provider, folder, [], 0
        self.texts = {path.name: path.read_text() for path in sorted(folder.glob("*.tf"))}
        self.parsed = {name: hcl2.loads(text) for name, text in self.texts.items()}

    def fault(self, where, text):
        self.faults.append(f"{self.folder.name}/{where}: {text}")

    def things(self, section):
        """(file, type, name, body) of resources or data."""
        for file, parsed in self.parsed.items():
            for one in parsed.get(section, []):
                for kind, named in one.items():
                    for name, body in named.items():
                        yield file, plain(kind), plain(name), body

    def against_schema(self, where, kind, body, path=()):
        self.blocks += 1
        found = self.provider.block(kind, path)
        if found is None:
            return self.fault(where, "the provider has no such type")
        known, required = found
        inner = list(blocks(body))
        written = {name for name in body if name not in META} | {name for name, _ in inner if name not in META}
        for name in sorted(written - known.keys()):
            self.fault(where, f"`{name}` is nothing that it takes")
        for name in sorted(required - written):
            self.fault(where, f"`{name}` is missing")
        for name in sorted(written & known.keys()):
            is_block, of = known[name]
            if is_block != (name in dict(inner)):
                self.fault(where, f"`{name}` is {'a block' if is_block else 'no block'}")
        for name, bodies in inner:
            if name in known and name not in META:
                for one in bodies:
                    self.against_schema(f"{where}.{name}", kind, one, (*path, known[name][1]))
        return None

    def schema(self):
        for section, prefix in (("resource", ""), ("data", "data.")):
            for file, kind, name, body in self.things(section):
                self.against_schema(f"{file}: {prefix}{kind}.{name}", prefix + kind, body)

    def references(self):
        def names(section):
            return {plain(name) for parsed in self.parsed.values() for one in parsed.get(section, []) for name in one}

        variables, local = names("variable"), names("locals")
        things = {f"{kind}.{name}" for _, kind, name, _ in self.things("resource")}
        things |= {f"data.{kind}.{name}" for _, kind, name, _ in self.things("data")}
        used = set()
        for file, text in self.texts.items():
            text = re.sub(r"(^|\s)#.*", "", text)
            used |= set(re.findall(r"\bvar\.(\w+)", text))
            for name in set(re.findall(r"\blocal\.(\w+)", text)) - local:
                self.fault(file, f"there is no local.{name}")
            named = r"(?<![\w.])((?:data\.)?aws_\w+)\.(\w+)(?:\[[^\]]*\])?(?:\.(\w+))?"
            for kind, name, attribute in set(re.findall(named, text)):
                if f"{kind}.{name}" not in things:
                    self.fault(file, f"there is no {kind}.{name}")
                elif attribute and attribute not in self.provider.attributes(kind):
                    self.fault(file, f"{kind}.{name} has no attribute `{attribute}`")
        for name in used - variables:
            self.fault("variables.tf", f"there is no var.{name}")
        for name in variables - used:
            self.fault("variables.tf", f"nothing uses var.{name}")
        for parsed in self.parsed.values():
            for section in ("variable", "output"):
                for one in parsed.get(section, []):
                    for name, body in one.items():
                        if "description" not in body:
                            self.fault("variables.tf", f"{section} {plain(name)} has no description")

    def policies(self):
        for file, kind, name, body in self.things("data"):
            if kind != "aws_iam_policy_document":
                continue
            for statement in dict(blocks(body)).get("statement", []):
                sid = plain(statement.get("sid", ""))
                wild = [action for action in statement.get("actions", []) if isinstance(action, str) and "*" in action]
                if wild and plain(statement.get("effect", '"Allow"')) != "Deny":
                    self.fault(file, f"{name}: {sid} allows {', '.join(wild)}")
                if '"*"' in statement.get("resources", []) and sid not in WILD:
                    self.fault(file, f"{name}: {sid} is for every resource")
        for file, text in self.texts.items():
            for account in re.findall(r"\b\d{12}\b", text):
                self.fault(file, f"the account {account} is written down")

    def volumes(self):
        """Where a configuration of an endpoint has a key, the role of its models may grant it: else no instance starts."""
        keys = {key for text in self.bodies("aws_sagemaker_endpoint_configuration", "kms_key_arn") for key in KEY.findall(text)}
        for role in self.bodies("aws_sagemaker_model", "execution_role_arn"):
            [role] = re.findall(r"aws_iam_role\.(\w+)", role)
            inline = [body["policy"] for _, _, _, body in self.named("aws_iam_role_policy") if f"aws_iam_role.{role}." in body["role"]]
            documents = re.findall(r"data\.aws_iam_policy_document\.(\w+)", " ".join(inline))
            for key in sorted(keys):
                if not any(self.grants(document, key) for document in documents):
                    self.fault("iam.tf", f"role {role} may not `kms:CreateGrant` {key}, which encrypts volumes of its endpoint")

    def grants(self, document, key):
        """Whether a document lets a key be granted, and for services of AWS alone."""
        for _, _, name, body in self.named("aws_iam_policy_document", "data"):
            for statement in dict(blocks(body)).get("statement", []) if name == document else []:
                bound = [plain(one["variable"]) for one in statement.get("condition", [])]
                if '"kms:CreateGrant"' in statement["actions"] and key in str(statement["resources"]):
                    return bound == ["kms:GrantIsForAWSResource"]
        return False

    def named(self, kind, section="resource"):
        return [thing for thing in self.things(section) if thing[1] == kind]

    def bodies(self, kind, argument):
        return [str(body[argument]) for _, _, _, body in self.named(kind) if argument in body]

    def lifecycle(self):
        """A version that serves must be there, and at hand: the only rule that may end what is current is the log's."""
        for file, kind, name, body in self.things("resource"):
            if kind != "aws_s3_bucket_lifecycle_configuration":
                continue
            for rule in body["rule"]:
                bound = plain(str(dict(blocks(rule)).get("filter", [{}])[0].get("prefix", "")))
                for one in rule.get("transition", []):
                    if plain(one["storage_class"]) in ARCHIVES:
                        self.fault(file, f"{name}: {rule['id']} archives what is current")
                if rule.get("expiration") and bound != "${local.log_prefix}/":
                    self.fault(file, f"{name}: {rule['id']} deletes what is current")


def main():
    provider = Provider(sys.argv[1])
    faults = []
    for folder in (ROOT, ROOT / "bootstrap"):
        checker = Checker(provider, folder)
        checker.schema()
        checker.references()
        checker.policies()
        checker.volumes()
        checker.lifecycle()
        faults += checker.faults
        print(f"{folder.name}: {checker.blocks} blocks against the schema of the provider")
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
