"""What a container runtime takes from an image, read from the Dockerfile. Standard library only."""

import json
import pathlib
import re
import shlex
from dataclasses import dataclass, field

from sidegate import ROOT


@dataclass
class Image:
    """A stage of the Dockerfile that begins from nothing, or an image of others of which nothing is known."""

    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    # What it has and this machine has not, by its place there.
    files: dict[str, pathlib.Path] = field(default_factory=dict)

    @classmethod
    def of(cls, target: str, dockerfile: pathlib.Path = ROOT / "Dockerfile") -> "Image":
        """That of a stage; what other stages give it is not in its files."""
        image, stage = cls(), None
        for line in re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", dockerfile.read_text(), flags=re.M)).splitlines():
            word, _, rest = line.strip().partition(" ")
            if word == "FROM":
                *_, stage = rest.split()
                assert stage != target or rest.startswith("scratch "), f"{target} inherits of {rest}"
            elif stage == target:
                image.take(word, rest)
        assert image.entrypoint, f"the Dockerfile has no {target}"
        return image

    def take(self, word: str, rest: str) -> None:
        match word:
            case "ENV" | "LABEL":
                of = self.environment if word == "ENV" else self.labels
                of.update(pair.split("=", 1) for pair in shlex.split(rest))
            case "WORKDIR":
                self.folder = rest
            case "ENTRYPOINT":
                self.entrypoint = json.loads(rest)
            case "CMD":
                self.command = json.loads(rest)
            case "COPY":
                *flags, source, target = rest.split()
                if not any(flag.startswith("--from=") for flag in flags):
                    assert target.endswith("/"), f"COPY {rest}: a folder is what is understood here"
                    self.files[f"{self.folder}/{target}{pathlib.Path(source).name}"] = ROOT / source
            case "USER" | "EXPOSE" | "HEALTHCHECK" | "":
                pass
            case _:
                raise AssertionError(f"{word} {rest}: not understood here")
