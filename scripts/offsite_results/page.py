"""Writes the tables of docs/results.md from the kept numbers of runs; runs nothing."""
import statistics

from plan import METHODS, PLACES, SPLITS, rows

BEGIN = "<!-- Written by scripts/offsite_results/run -->"
END = "<!-- The end of what it writes -->"
MEASURED = ["emulator exact, %", "emulator loss", "plugin exact, %", "plugin loss"]
HEAD = ["method", "dropout", "runs", *MEASURED]
COSTS = ["method", "dropout", "parameters held", "trained", "MFLOP a step", "KiB up", "KiB down"]


def percent(x):
    return f"{100 * x:.1f}"


def short(x):
    return f"{x:.3f}"


def spread(values, form):
    """The mean, and behind it the least and the most."""
    mean, least, most = (form(x) for x in (statistics.mean(values), min(values), max(values)))
    return mean if len(values) == 1 else f"{mean} ({least}-{most})"


def measured(runs):
    """The four cells of MEASURED."""
    for what in ("emulator", "plugin"):
        for key, form in (("exact", percent), ("loss", short)):
            values = [run[what][key] for run in runs if run.get(what)]
            yield spread(values, form) if values else ""


def costs(run):
    """What a client holds and computes, and what it sends and gets a round."""
    cost = run["cost"]
    traffic = [f"{run[way] / 1024:.0f}" for way in ("up", "down")]
    if "/local/" in run["name"]:
        traffic = ["0", "0"]
    return [f"{cost['parameters']:,}", f"{cost['trained']:,}", f"{cost['flops'] / 1e6:,.0f}", *traffic]


def table(head, lines):
    for cells in (head, ["---"] * len(head), *lines):
        yield "| " + " | ".join(cells) + " |"


def pick(results, split, row):
    """The runs of a row, of one split or (None) of all; no other settings."""
    wanted = [row.split("/")[i] for i in (0, 2, 3)]
    named = [(run["name"].split("/"), run) for run in results if "given" not in run]
    return [run for parts, run in named
            if [parts[i] for i in (0, 2, 3)] == wanted and split in (None, parts[1])]


def measured_rows(results, place, split):
    for row in rows(place, split):
        runs = pick(results, row.split("/")[1], row)
        if runs:
            _, _, method, dropout, _ = row.split("/")
            yield [METHODS[method][0], dropout, str(len(runs)), *measured(runs)]


def cost_rows(results, place):
    for row in rows(place, "any"):
        runs = [run for run in pick(results, None, row) if "cost" in run]
        if runs:
            _, _, method, dropout, _ = row.split("/")
            yield [METHODS[method][0], dropout, *costs(runs[0])]


def tried_rows(results):
    """The runs with other settings, for which pairs were given; seeds together."""
    found = {}
    for run in results:
        if "given" in run:
            said = "; ".join(f"`{key} {value}`" for key, value in run["given"].items())
            found.setdefault((run["name"].rsplit("/", 1)[0], said), []).append(run)
    for (name, said), runs in found.items():
        yield [name, said, str(len(runs)), *measured(runs)]


def tables(results):
    for place, at in PLACES.items():
        for split, meaning in SPLITS.items():
            yield f"\n### {at['title']}, {split} split ({meaning})\n"
            yield from table(HEAD, measured_rows(results, place, split))
        yield f"\n### {at['title']}: what it costs a client\n"
        yield from table(COSTS, cost_rows(results, place))
    if any("given" in run for run in results):
        yield "\n### Other settings\n"
        yield from table(["run", "changed", "runs", *MEASURED], tried_rows(results))


def write(page, results):
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n" + "\n".join(tables(results)) + f"\n\n{END}{after}",
                    encoding="utf-8")
