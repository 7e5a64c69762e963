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


def grouped(results, place, split):
    """The runs of every row that has some, behind its title and dropout."""
    for row in rows(place, split):
        runs = [run for run in results if run["name"].startswith(row) and "given" not in run]
        if runs:
            yield METHODS[row.split("/")[2]][0], row.split("/")[3], runs


def tried(results):
    """The runs with other settings, for which pairs were given."""
    for run in results:
        if "given" in run:
            said = "; ".join(f"`{key} {value}`" for key, value in run["given"].items())
            yield [run["name"], said, *measured([run])]


def tables(results):
    for place, at in PLACES.items():
        for split, meaning in SPLITS.items():
            lines = [[title, dropout, str(len(runs)), *measured(runs)]
                     for title, dropout, runs in grouped(results, place, split)]
            yield f"\n### {at['title']}, {split} split ({meaning})\n"
            yield from table(HEAD, lines)
        lines = {(title, dropout): [title, dropout, *costs(runs[0])] for split in SPLITS
                 for title, dropout, runs in grouped(results, place, split) if "cost" in runs[0]}
        yield f"\n### {at['title']}: what it costs a client\n"
        yield from table(COSTS, lines.values())
    if any("given" in run for run in results):
        yield "\n### Other settings that were tried\n"
        yield from table(["run", "changed", *MEASURED], tried(results))


def write(page, results):
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n" + "\n".join(tables(results)) + f"\n\n{END}{after}",
                    encoding="utf-8")
