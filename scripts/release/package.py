"""Makes a release of built programs: a wheel, a tarball, SBOMs and SHA256SUMS; the same bytes for the same input.

package.py BINARIES SHARE DESTINATION; time stamps are SOURCE_DATE_EPOCH (scripts/release.sh sets it).
"""

import base64
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile

EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])
PROGRAMS = {"sidegate": [], "sidegate-train": ["--features", "train"]}
# Of the wheel: packages that bring a library, in the version that scripts/onnxruntime.sh or scripts/learners.sh fetches.
EXTRAS = {"onnxruntime": ["onnxruntime==1.32.0"], "learners": ["xgboost-cpu==3.2.0", "lightgbm==4.7.0"]}
MACHINES = {62: "x86_64", 183: "aarch64"}


def machine(program: bytes) -> str:
    """The processor that an ELF file is for, by its header."""
    if program[:4] != b"\x7fELF" or (number := struct.unpack_from("<H", program, 18)[0]) not in MACHINES:
        sys.exit("release: the programs must be ELF files for x86-64 or arm64")
    return MACHINES[number]


def oldest_libc(programs: list[bytes]) -> tuple[int, int]:
    """The libc that the programs need, by the symbol versions that they name."""
    versions = {tuple(map(int, found)) for program in programs for found in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", program)}
    return max(versions)


def bill(program: str, features: list[str], version: str, triple: str) -> bytes:
    """CycloneDX 1.6 of what is linked into `program`: normal dependencies, for its target."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", "--filter-platform", triple, *features]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    lock = tomllib.loads(pathlib.Path("Cargo.lock").read_text())["package"]
    sums = {(package["name"], package["version"]): package.get("checksum") for package in lock}
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {
        node["id"]: sorted(d["pkg"] for d in node["deps"] if any(kind["kind"] is None for kind in d["dep_kinds"]))
        for node in metadata["resolve"]["nodes"]
    }
    root = metadata["resolve"]["root"]
    linked, waiting = set(), [root]
    while waiting:
        if (package := waiting.pop()) not in linked:
            linked.add(package)
            waiting.extend(nodes[package])

    def reference(package: str) -> str:
        return f"pkg:cargo/{packages[package]['name']}@{packages[package]['version']}"

    def component(package: str) -> dict:
        about = packages[package]
        name, number = about["name"], about["version"]
        entry = {"type": "library", "bom-ref": reference(package), "name": name, "version": number}
        if digest := sums[name, number]:
            entry["hashes"] = [{"alg": "SHA-256", "content": digest}]
        if about["license"]:
            entry["licenses"] = [{"expression": about["license"].replace("/", " OR ")}]
        return entry | {"purl": reference(package)}

    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH)),
            "component": component(root) | {"type": "application", "name": program, "version": version},
        },
        "components": [component(package) for package in sorted(linked - {root}, key=reference)],
        "dependencies": [
            {"ref": reference(package), "dependsOn": sorted(map(reference, nodes[package]))}
            for package in sorted(linked, key=reference)
        ],
    }
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def tarball(path: pathlib.Path, files: dict[str, tuple[bytes, int]]) -> None:
    """`files`: name in the archive to content and mode; sorted, owned by root."""
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=EPOCH) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, (content, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(f"{path.name.removesuffix('.tar.gz')}/{name}")
            entry.size, entry.mode, entry.mtime = len(content), mode, EPOCH
            archive.addfile(entry, io.BytesIO(content))


def wheel(folder: pathlib.Path, version: str, tag: str, files: dict[str, tuple[bytes, int]], licenses: list[str]) -> pathlib.Path:
    """A wheel without Python code: `bin/` becomes the environment's scripts, `share/` its data."""
    about = f"sidegate-{version}.dist-info"
    members = {f"sidegate-{version}.data/scripts/{name[4:]}": file for name, file in files.items() if name.startswith("bin/")}
    members |= {f"sidegate-{version}.data/data/{name}": file for name, file in files.items() if name.startswith("share/")}
    members |= {f"{about}/licenses/{name}": files[name] for name in licenses}
    metadata = [
        "Metadata-Version: 2.4", "Name: sidegate", f"Version: {version}", "Summary: A high-performance inference gateway beside an app",
        "License-Expression: Apache-2.0 OR MIT", *(f"License-File: {name}" for name in licenses), "Requires-Python: >=3.9",
        # The libraries of these packages are found by themselves; trees need none, nor does model.type = "builtin".
        *(line for extra, packages in EXTRAS.items() for line in (
            f"Provides-Extra: {extra}", *(f'Requires-Dist: {package}; extra == "{extra}"' for package in packages))),
        "Description-Content-Type: text/markdown", "", files["README.md"][0].decode(),
    ]  # fmt: skip
    members[f"{about}/METADATA"] = ("\n".join(metadata).encode(), 0o644)
    members[f"{about}/WHEEL"] = (f"Wheel-Version: 1.0\nGenerator: sidegate\nRoot-Is-Purelib: false\nTag: py3-none-{tag}\n".encode(), 0o644)
    record = ""
    for name, (content, _) in sorted(members.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(content)}\n"
    members[f"{about}/RECORD"] = (f"{record}{about}/RECORD,,\n".encode(), 0o644)
    path = folder / f"sidegate-{version}-py3-none-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, (content, mode) in sorted(members.items()):
            # Zip knows no time before 1980.
            entry = zipfile.ZipInfo(name, time.gmtime(max(EPOCH, 315532800))[:6])
            entry.external_attr, entry.compress_type, entry.create_system = (0o100000 | mode) << 16, zipfile.ZIP_DEFLATED, 3
            archive.writestr(entry, content)
    return path


def main() -> None:
    binaries, share, destination = map(pathlib.Path, sys.argv[1:])
    version = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["package"]["version"]
    programs = {name: (binaries / name).read_bytes() for name in PROGRAMS}
    machines = {machine(content) for content in programs.values()}
    if len(machines) > 1:
        sys.exit("release: the programs are for different machines")
    [cpu] = machines
    major, minor = oldest_libc(list(programs.values()))
    destination.mkdir(parents=True, exist_ok=True)

    licenses = ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT"]
    files = {f"bin/{name}": (content, 0o755) for name, content in programs.items()}
    files |= {name: (pathlib.Path(name).read_bytes(), 0o644) for name in [*licenses, "README.md", "config/sidegate.toml"]}
    units = sorted(pathlib.Path("deploy/systemd").iterdir())
    files |= {f"systemd/{unit.name}": (unit.read_bytes(), 0o644) for unit in units}
    for name in ("onnxruntime.sh", "learners.sh"):
        files[name] = (pathlib.Path("scripts", name).read_bytes(), 0o755)
    # learners.sh puts these beside GCC's runtime.
    files |= {f"licenses/{text.name}": (text.read_bytes(), 0o644) for text in pathlib.Path("scripts/licenses").iterdir()}
    files |= {f"share/{page.relative_to(share)}": (page.read_bytes(), 0o644) for page in share.rglob("*") if page.is_file()}

    made = [wheel(destination, version, f"manylinux_{major}_{minor}_{cpu}", files, licenses)]
    made.append(destination / f"sidegate-{version}-{cpu}-linux.tar.gz")
    tarball(made[-1], files)
    for name, features in PROGRAMS.items():
        made.append(destination / f"{name}-{version}-{cpu}.cdx.json")
        made[-1].write_bytes(bill(name, features, version, f"{cpu}-unknown-linux-gnu"))
    # Of everything there, so that a second machine's files join the first's.
    everything = sorted(path for path in destination.iterdir() if path.name != "SHA256SUMS")
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in everything)
    (destination / "SHA256SUMS").write_text(sums)
    print(sums, end="")


main()
