"""The runs of docs/results.md: which there are, and what each sets.

A run's name is placement/split/method/dropout/seed.  Every run is
configs/offsite/fedbiot.yaml with some keys changed; no other file is read.
"""

CFG = "configs/offsite/fedbiot.yaml"
MODEL = "configs/offsite/model"
OFFSITE, ALIGN = "llm.offsite_tuning.", "llm.offsite_tuning.emu_align."

# Where the adapter is: the emulated layers, the layers left to train, the data.
PLACES = {
    "both": {"title": "The first two and the last two layers", "range": (2, 8),
             "layers": [0, 1, 8, 9], "root": "configs/quickstart/data",
             "type": "instructions.jsonl@llm", "heldout": "configs/quickstart/data/heldout.jsonl"},
    "last": {"title": "The last two layers", "range": (0, 8), "layers": [8, 9],
             "root": "configs/offsite/data", "type": "forms.jsonl@llm",
             "heldout": "configs/offsite/data/forms_heldout.jsonl"},
}
SPLITS = {"iid": "clients' data alike", "meta": "two of the eight tasks each"}
DROPOUTS = ("0.2", "0.5")
WITH_EMULATOR = ("offsite", "fedot", "fedbiot")

FULL = {OFFSITE + "use": "False"}
METHODS = {
    "base": ("base model", {}),
    "local": ("each client alone, full model", FULL | {
        "federate.method": "local", "federate.save_client_model": "True"}),
    "lora": ("FedAvg-LoRA, full model", FULL),
    "lora-same": ("FedAvg-LoRA, full model, A's layers only", FULL),
    "offsite": ("offsite-tuning", {ALIGN + "use": "False"}),
    # Aligned once, with as many steps as FedBiOT has in all: 40 * 5 and 5 after each of 30 rounds.
    "fedot": ("FedOT", {ALIGN + "initial_only": "True", ALIGN + "train.local_update_steps": "350",
                        ALIGN + "train.lm_loss_weight": "0.0",
                        ALIGN + "train.kd_loss_weight": "1.0"}),
    "fedbiot": ("FedBiOT", {}),
}


def rows(place, split):
    """What names of a table's rows begin with: the base model, then every method and dropout."""
    yield f"{place}/-/base/-/"
    for method in METHODS:
        for dropout in DROPOUTS if method in WITH_EMULATOR else ("-",):
            if method != "base":
                yield f"{place}/{split}/{method}/{dropout}/"


def names(seeds):
    """Every run, so that an early end leaves whole seeds.  The base model has but one."""
    found = [row + ("-" if "/base/" in row else seed)
             for seed in seeds for place in PLACES for split in SPLITS for row in rows(place, split)]
    return list(dict.fromkeys(found))


def pairs_of(name, given=None):
    """The KEY VALUE pairs of a run."""
    place, split, method, dropout, seed = name.split("/")
    at = PLACES[place]
    pairs = {"seed": seed, "data.root": at["root"], "data.type": at["type"],
             "data.splitter": split, "fedmq.meta_parts_apart": "True",  # as when they were made
             OFFSITE + "emu_l": str(at["range"][0]), OFFSITE + "emu_r": str(at["range"][1]), "fedmq.match_tokens": "0"}
    if method in WITH_EMULATOR:
        pairs[OFFSITE + "kwargs"] = f"[{{drop_ratio: {dropout}}}]"
    if method == "lora-same":
        pairs["llm.adapter.args.0.layers_to_transform"] = str(at["layers"])
    pairs |= METHODS[method][1] | (given or {})
    return [word for pair in pairs.items() for word in pair]
