"""The eight tasks of the quickstart: what is asked, and the one right answer.

Each task draws an input and computes its answer.  It has a code word, by which the
base model is asked in pre-training, and several instructions in plain words, which
only fine-tuning teaches.  Pure standard
library; every draw comes from the caller's generator, by random() alone, whose
sequence Python guarantees across versions.
"""

KINDS = {
    "fruit": "apple pear plum cherry lemon grape peach melon".split(),
    "animal": "dog cat horse cow sheep mouse rabbit tiger".split(),
    "color": "red blue green yellow black white pink brown".split(),
    "tool": "hammer saw drill knife brush shovel ladder rope".split(),
    "food": "bread cheese rice soup cake butter pasta salad".split(),
    "vehicle": "car bus train ship bike truck plane tram".split(),
}
KIND_OF = {word: kind for kind, words in KINDS.items() for word in words}
WORDS = sorted(KIND_OF)

OPPOSITES = [pair.split("/") for pair in (
    "hot/cold big/small fast/slow up/down left/right day/night old/young rich/poor "
    "hard/soft wet/dry light/dark early/late open/closed full/empty high/low long/short "
    "loud/quiet clean/dirty near/far strong/weak happy/sad thick/thin true/false good/bad").split()]
OPPOSITE_OF = {a: b for a, b in OPPOSITES} | {b: a for a, b in OPPOSITES}


def below(rng, n):
    """Uniform in 0 .. n - 1."""
    return int(rng.random() * n)


def choose(rng, items):
    return items[below(rng, len(items))]


def sample(rng, items, count):
    """count different items, in random order."""
    pool = list(items)
    return [pool.pop(below(rng, len(pool))) for _ in range(count)]


def words(rng, least, most):
    return sample(rng, WORDS, least + below(rng, most - least + 1))


def reverse(rng):
    items = words(rng, 3, 5)
    return ",".join(items), ",".join(reversed(items))


def last(rng):
    items = words(rng, 3, 6)
    return ",".join(items), items[-1]


def count(rng):
    items = words(rng, 2, 9)
    return ",".join(items), str(len(items))


def sort(rng):
    digits = sample(rng, range(10), 3 + below(rng, 2))
    return ",".join(map(str, digits)), ",".join(map(str, sorted(digits)))


def add(rng):
    a, b = below(rng, 10), below(rng, 10)
    return f"{a},{b}", str(a + b)


def largest(rng):
    digits = sample(rng, range(10), 3 + below(rng, 3))
    return ",".join(map(str, digits)), str(max(digits))


def opposite(rng):
    word = choose(rng, sorted(OPPOSITE_OF))
    return word, OPPOSITE_OF[word]


def kind(rng):
    word = choose(rng, WORDS)
    return word, KIND_OF[word]


# name: (draw, code word, instructions)
TASKS = {
    "reverse": (reverse, "rev", [
        "Write the words in reverse order.",
        "Turn this list around, from the end to the beginning.",
        "Read the list backwards."]),
    "last": (last, "end", [
        "Which word comes last?",
        "Give the final item of this list.",
        "Name the word at the end."]),
    "count": (count, "len", [
        "How many words are there?",
        "Count the items of this list.",
        "Tell me the number of words."]),
    "sort": (sort, "ord", [
        "Sort the numbers from small to large.",
        "Put these digits in ascending order.",
        "Arrange the numbers, smallest first."]),
    "add": (add, "sum", [
        "Add the two numbers.",
        "What do you get when you put both numbers together?",
        "Work out the total."]),
    "largest": (largest, "max", [
        "Which number is the largest?",
        "Pick the biggest value.",
        "Find the maximum."]),
    "opposite": (opposite, "not", [
        "What is the opposite of this word?",
        "Give a word that means the contrary.",
        "Name the antonym."]),
    "kind": (kind, "isa", [
        "What kind of thing is this?",
        "Name the group that it belongs to.",
        "Which category fits the word?"]),
}

WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:")
