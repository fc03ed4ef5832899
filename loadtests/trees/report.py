"""The tables, in Markdown."""

from .targets import per_100k

# Column of the table, and its key.
COLUMNS = (
    ("sidegate", "sidegate"),
    ("native file", "sidegate, native file"),
    ("ONNX Runtime", "ONNX Runtime"),
    ("TL2cgen", "TL2cgen"),
    ("lleaves", "lleaves"),
    ("own predict", "own predict"),
)


def render(document: dict) -> str:
    results = document["rows"]
    verdicts = {True: "met", False: "MISSED", None: ""}
    targets = [
        (t["name"], t["bound"], t["value"], verdicts[t["met"]])
        for t in document["targets"]
    ]
    machine = document["machine"]
    changed = " with changes" if document["modified"] else ""
    settings = "".join(f" --{k} {v}".rstrip() for k, v in document["arguments"].items())
    peers = ", ".join(
        f"{name} {version}" for name, version in document["peers"].items()
    )
    head = (
        f"{document['date'][:10]}, {machine['cpu']}, {machine['cpus']} processors, {machine['memory_mib'] // 1024} GiB, "
        f"{machine['system']}, profile `{document['profile']}`, commit {document['revision'][:10]}{changed}"
        f", `loadtests/trees/run.py{settings}`; {peers}"
    )
    return "\n\n".join(
        [
            head,
            _table(("target", "bound", "measured", ""), targets),
            "Microseconds per call, one thread; the fastest setting of each competitor. † called from Python.",
            _speed(results),
            "Loading: milliseconds from the file's bytes to a session, and seconds to compile.",
            _table(LOAD_HEAD, [line for result in results for line in _loads(result)]),
            *[f"- {line}" for result in results for line in notes(result)],
        ]
    )


def _speed(results: list[dict]) -> str:
    used = {key for result in results for line in result["rows"] for key in line["us"]}
    columns = [column for column in COLUMNS if column[1] in used]
    head = ("model", "rows", *(title for title, _ in columns), "/ ONNX Runtime", "/ best compiled")  # fmt: skip
    lines = []
    for result in results:
        for line in result["rows"]:
            cells = [_us(line, key) for _, key in columns]
            ratios = [_ratio(line["over_ort"]), _ratio(line["over_compiled"])]
            name = result["model"] if line is result["rows"][0] else ""
            lines.append((name, f"{line['rows']:,}", *cells, *ratios))
    return _table(head, lines)


def _us(line: dict, key: str) -> str:
    if key not in line["us"]:
        return "–"
    value = line["us"][key]
    text = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return text + (" †" if line["variants"][key] == "Python" else "")


def _ratio(ratio: dict | None) -> str:
    if ratio is None:
        return "–"
    return f"**{ratio['median']:.2f}** ({ratio['least']:.2f}–{ratio['most']:.2f})"


LOAD_HEAD = (
    "model", "what it is", "columns", "trees", "nodes", "file", "parse", "build", "per 100,000 nodes", "MiB",
    "ONNX Runtime", "TL2cgen, s", "lleaves, s",
)  # fmt: skip


def _loads(result: dict) -> list[tuple[str, ...]]:
    lines = []
    for name, load in result["loads"].items():
        peers = [
            [seconds for key, seconds in result["builds"].items() if key.startswith(peer)]
            for peer in ("ONNX Runtime", "TL2cgen", "lleaves")
        ]  # fmt: skip
        runtime, *compilers = peers
        lines.append(
            (
                result["model"],
                result["title"],
                str(result["columns"]),
                f"{result['trees']:,}",
                f"{result['nodes']:,}",
                "native" if "native" in name else "ONNX",
                f"{load['parse_ms']:.2f}",
                f"{load['build_ms']:.2f}",
                f"{per_100k(load, result['nodes']):.0f}",
                f"{load['memory_bytes'] / 2**20:.2f}",
                f"{min(runtime) * 1e3:.1f}" if runtime else "–",
                *(f"{min(times):.1f}" if times else "–" for times in compilers),
            )
        )
    return lines


# === equality ===


def notes(result: dict) -> list[str]:
    """Where answers differ: first by file, then by who wrote the file."""
    lines = []
    for label in ("ONNX Runtime", "own predict"):
        who = {}
        for finding in result["equality"]:
            if finding.get(label):
                rows = who.get(finding["competitor"], 0)
                who[finding["competitor"]] = max(rows, finding[label])
        if who:
            text = ", ".join(f"{name} {rows}" for name, rows in who.items())
            lines.append(
                f"{result['model']}: of 1,000 rows these differ from {label}: {text}"
            )
    return lines


def wrong(result: dict) -> list[str]:
    """sidegate's own answers from the same file must be ONNX Runtime's."""
    return [
        f"{result['model']}, {finding['rows']} rows: {finding['ONNX Runtime']} answers differ from ONNX Runtime's"
        for finding in result["equality"]
        if finding["competitor"] == "sidegate" and finding["ONNX Runtime"]
    ]


def _table(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, marks, *lines))
