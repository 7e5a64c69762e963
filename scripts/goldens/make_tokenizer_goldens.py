#!/usr/bin/env python3
"""Token ids and decoded texts from Hugging Face's tokenizers, for the tests of llm/tokenizer.

Writes, into --out, seven small tokenizers trained here, and for each of them
and for each tokenizer found below --assets a file <name>.golden.json.  The
tokenizers below --assets themselves are not copied.

    pip install "tokenizers<0.23"
    make_tokenizer_goldens.py --assets DIR --out tests/llm/tokenizer/data

From 0.23 on, decoding gives the *normalized* content of added tokens that are
"normalized", and skip_special_tokens no longer skips them; ids are the same.
fedmq decodes as the versions before that did.
"""
import argparse
import json
import os
import random

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

# What the small tokenizers are trained on.
TRAINING = [
    "The server announces a round and each client trains on its own data.",
    "A client that has trained offers its update; the server takes it when it can.",
    "It's the clients' data, they don't share it, and we'll never ask: they've said no.",
    "for (size_t i = 0; i < count; i++) {\n    sum += values[i];\n}\n",
    "def mean(values):\n    return sum(values) / len(values)\n",
    "In 2024 there were 1,234,567 tokens, 3.14159 of them round, and 100% of them ours.",
    "Der Schlüssel liegt unter der Matte. Größe und Maß über alles.",
    "Ein kleines Mädchen aß drei Äpfel und lief über die Straße.",
    "El niño comió una manzana roja y corrió por la calle.",
    "Федеративное обучение не передаёт данные, а передаёт обновления.",
    "機械学習モデルを共有し、データは共有しない。",
    "联邦学习不共享数据，只共享模型更新。",
    "### Instruction:\nName three colours.\n\n### Response:\nRed, green and blue.\n",
    "Question: How many apples does Anna have if she buys 12 and eats 5? Answer: 7",
    "The quick brown fox jumps over the lazy dog while the slow white cat sleeps.",
    "She said: \"Hello, world!\" and he replied: 'Good-bye (for now)...'",
]

# What is encoded: one line of thought a line.
CORPUS = [
    "", " ", "  ", "a", " a", "a ", "  a  b  ", "Hello, world!", "hello world", " Hello  World ",
    "The server announces a round.", "the clients' data isn't ours; they've said they'd not share",
    "I'M YOU'RE WE'LL THEY'D IT'S CAN'T", "it'\u017f they\u2019re", "'s't're", "'ſ 'S 'ſ",
    "1234567890", "3.14159 1,234,567 100% 1e-5 0x1F", "1 22 333 4444 55555 666666", "a1b22c333",
    "\u0661\u0662\u0663 \u00bd \u2167 \u00b2\u00b3 \u2460", "tabs\tand\nnewlines\r\nand\rreturns",
    "\n", "\n\n", "\n\n\n\n", " \n \n ", "\t\t\t", "a\n\n\nb", "a \n b", "a\n ", "  \n",
    "trailing spaces   ", "   leading", "x" * 70, "ab" * 40, " " * 1, " " * 2, " " * 3, " " * 7,
    " " * 33, "a" + " " * 50 + "b", "a" + "\n" * 20 + "b", " \t \n\t  \n ",
    "for (int i = 0; i < n; i++) {\n\treturn x[i] != y->z ? ~a & b | c ^ d : !e;\n}\n",
    "http://example.org/a/b?c=d&e=f#g user@example.org C:\\Users\\me $HOME `ls -la` <b>x</b>",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "... --- ???!!! ,,, ;;", "(((a)))[[[b]]]{{{c}}}",
    "«guillemets» „quotes“ ‘single’ —dash– …ellipsis ¿qué? ¡sí!", "€£¥₹ ±×÷≠≤≥∞ ∑∏∫ ©®™ §¶",
    "Größe über Straße, Mädchen aß Äpfel", "naïve café résumé Ångström",
    "nai\u0308ve cafe\u0301 A\u030angstro\u0308m", "e\u0301\u0301\u0301 \u0301 \u0308a",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031e\u0349\u035aalgo",
    "\u1112\u1161\u11ab\u1100\u1173\u11af 한글 조선말", "機械学習 データ、共有。 カタカナ ひらがな ｶﾀｶﾅ",
    "联邦学习不共享数据，只共享模型更新。", "漢字とabcと123", "中 文　全角　空格", "𠀀𠀁 𪜀 㐀",
    "Федеративное обучение", "Ελληνικά γράμματα", "עברית שלום", "العربية مرحبا بكم",
    "مَرْحَبًا \u200f\u200eab", "हिन्दी नमस्ते क्षत्रिय", "ภาษาไทยไม่มีช่องว่าง", "ქართული Հայերեն አማርኛ",
    "mixed Кириллицаlatin漢字עברית123", "ÀÉÎÕÜ àéîõü ß ẞ ǅ ǆ ﬁ ﬂ ĳ", "İstanbul ıI iİ", "ªº ʰʷ ⁿ",
    "😀", "😀😀 😃", "a😀b", "👨‍👩‍👧‍👦 family", "👩🏽‍💻 🏳️‍🌈 🇩🇪🇫🇷 1️⃣ ☺️ ☺", "❤️‍🔥 ✌🏿 🧑‍🚀",
    "\u200b\u200c\u200d\u2060\ufeff", "a\u200bb c\u200dd", "\ufeffbom first", "soft\u00adhyphen",
    "nbsp\u00a0here \u00a0 twice\u00a0\u00a0", "\u2000\u2001\u2002\u2003\u2009\u200a thin",
    "\u3000wide\u3000", "\u1680ogham\u1680", "\u180emongolian\u180e vowel", "nel\u0085x\u0085\u0085y",
    "line\u2028sep para\u2029sep", "\u000b\u000c vertical", "\u001c\u001d\u001e\u001f separators",
    "\u0000", "a\u0000b", "\u0000\u0000", "\u0001\u0002\u0007\u0008\u001b[31mred\u001b[0m \u007f",
    "\u0080\u009f\u00a0\u00ad", "\u0378 unassigned \U000e0041\U000e0042 \uffff \U0010ffff \ufdd0",
    "\ue000private\U000f0000", "\ufffd replacement", "\u2581", "\u2581a", "a\u2581b",
    "\u2581\u2581 \u2581", "Ġ Ċ ĉ Ā Ġhello", "<0x41> <0x0A><0xFF>", "<s>", "</s>", "<s></s>",
    "<s>a</s>", "a<s>b</s>c", " <s> a </s> ", "<S> < s> <s >", "<unk>", "a<unk>b", "<unk><unk>",
    "<|endoftext|>", "a<|endoftext|>b", "a <|endoftext|> b", "<|endoftext|><|endoftext|>",
    "<|endoftext", "|endoftext|>", "<|start_story|>Once upon a time<|end_story|>",
    "a <|start_story|> b<|end_story|>", "<|start_story|> <|end_story|>", "[INST] hi [/INST]",
    "<mark>", "a<mark>b", "a <mark> b", "word<mark>", "<mark>word", "word <mark>.", "é<mark>",
    "<left> a", "a   <left> b", "a\n\t<left>", "<right>   a", "a <right>\n\nb", "<right><left>",
    "<right>  <left>", "<both>", " a  <both>  b ", "<both> <both>", "<left> <right>  <left>",
    "plain", "a plain b", "explain plainly", " plain", "plain plain", "plain.plain",
    "<long>", "<long><longer>", "<longer>x", "<longe", "<long <longer",
    "Once upon a time, there was a little girl named Lily. She loved to play outside.",
    "### Instruction:\nName three colours.\n\n### Response:\n",
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\nAdd 2 and 3.\n\n### Response:\n5",
    "Q: There are 15 trees in the grove. Grove workers will plant trees today.\nA: 21 - 15 = 6.",
    "  indented\n    more\n\tand tab\n", "CamelCaseWords snake_case_words kebab-case-words",
    "UPPER lower Title tOGGLE", "1st 2nd 3rd 4th", "$1,000.00 -5 +7 5% #1 @2", "a.b.c. e.g., i.e.",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "the the the the the the", "thethethethe",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "a" * 200 + " " + "\u00e9" * 100, "\U0001f600" * 30, "の" * 50, "\n \n \n \n", "x\r\n\r\ny",
]


def special(text, **flags):
    return AddedToken(text, special=True, **flags)


def add_tokens(tokenizer, normalized):
    """Tokens with every flag, so that each way of matching is tested."""
    tokenizer.add_special_tokens([special("<|endoftext|>", normalized=False)])
    tokenizer.add_tokens([
        AddedToken("<mark>", normalized=normalized),
        AddedToken("<left>", lstrip=True, normalized=False),
        AddedToken("<right>", rstrip=True, normalized=False),
        AddedToken("<both>", lstrip=True, rstrip=True, normalized=normalized),
        AddedToken("plain", single_word=True, normalized=normalized),
        AddedToken("<long>", normalized=False),
        AddedToken("<longer>", normalized=False),
    ])


def ends(first, last):
    pair = [(token[0], token[1]) for token in (first, last) if token]
    single = " ".join(([first[0]] if first else []) + ["$A"] + ([last[0]] if last else []))
    return processors.TemplateProcessing(single=single, special_tokens=pair)


def byte_level():
    """LLaMA-3's kind: an expression, GPT-2's alphabet, ignore_merges."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TRAINING, trainers.BpeTrainer(
        vocab_size=480, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<s>", "</s>"], show_progress=False))
    add_tokens(tokenizer, normalized=True)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        ends(("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>")))])
    return tokenizer


def byte_tokens():
    return ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % byte for byte in range(256)]


def plain_bytes(tokenizer):
    """Byte tokens are tokens of the model and nothing else: the trainer made them special."""
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [t for t in content["added_tokens"]
                               if not t["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(content))


def metaspace():
    """A newer LLaMA-2 conversion: Metaspace, byte fallback."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
        decoders.Strip(" ", 1, 0)])
    tokenizer.train_from_iterator(TRAINING[:9], trainers.BpeTrainer(
        vocab_size=560, special_tokens=byte_tokens(), show_progress=False))
    tokenizer = plain_bytes(tokenizer)
    add_tokens(tokenizer, normalized=False)
    tokenizer.post_processor = ends(("<s>", tokenizer.token_to_id("<s>")), None)
    return tokenizer


def prepend():
    """LLaMA-2's kind: no pre-tokenizer, so that merges cross spaces; no byte tokens, so that
    unknown tokens appear; added tokens that are searched for in the normalized text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581"),
        normalizers.Replace(Regex("[\u201c\u201d]"), "\"")])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.train_from_iterator(TRAINING[:9], trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    add_tokens(tokenizer, normalized=True)
    return tokenizer


def digits():
    """Falcon's kind of chain, and no decoder."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation(behavior="contiguous"),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.Split(Regex(r"\s+"), behavior="merged_with_previous"),
        pre_tokenizers.Split("e", behavior="merged_with_next"),
        pre_tokenizers.Split(Regex(r"[A-Z]+"), behavior="removed"),
        pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)])
    tokenizer.train_from_iterator(TRAINING, trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<s>"], show_progress=False))
    add_tokens(tokenizer, normalized=True)
    return tokenizer


def oddities():
    """What few files ask for: added tokens that claim each other's white space, Oniguruma's word
    characters and boundaries, a normalizer that removes the beginning of a text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace("ab", "")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\b"), behavior="merged_with_previous", invert=True),
        pre_tokenizers.Split(Regex(r"[\w']+|\W"), behavior="isolated"),
        pre_tokenizers.Split(Regex(r"[[:punct:]]"), behavior="removed"),
        pre_tokenizers.Metaspace(prepend_scheme="first", split=False)])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("e", "E"), decoders.Strip("t", 1, 0),
        decoders.Metaspace(prepend_scheme="first")])
    tokenizer.train_from_iterator(TRAINING[:9], trainers.BpeTrainer(
        vocab_size=380, special_tokens=byte_tokens()[:200], show_progress=False))
    tokenizer = plain_bytes(tokenizer)
    tokenizer.add_tokens([
        AddedToken("\n", rstrip=True, normalized=False),
        AddedToken("  ", lstrip=True, rstrip=True, normalized=False),
        AddedToken("\t", lstrip=True, normalized=True),
        AddedToken("<right>", rstrip=True, normalized=False),
        AddedToken("<left>", lstrip=True, single_word=True, normalized=False),
        AddedToken("the", single_word=True, normalized=True),
        AddedToken("é", single_word=True, rstrip=True, normalized=True)])
    tokenizer.add_special_tokens([special("plain", lstrip=True, normalized=True)])
    return tokenizer


def normal():
    """Unicode's forms, cases and marks, and RoBERTa's ends."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(),
        normalizers.NFC(), normalizers.Strip(left=True, right=False)])
    tokenizer.pre_tokenizer = pre_tokenizers.CharDelimiterSplit("e")
    tokenizer.train_from_iterator(TRAINING, trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    return tokenizer


def bert():
    """BERT's chain around merges, and its ends."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=False))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(TRAINING, trainers.BpeTrainer(
        vocab_size=420, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer


def gpt2(directory):
    tokenizer = Tokenizer(models.BPE.from_file(os.path.join(directory, "vocab.json"),
                                               os.path.join(directory, "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([special("<|endoftext|>", normalized=False)])
    return tokenizer


def random_ids(tokenizer, seed):
    """Sequences that no text gives: broken characters, bytes, ids without a token."""
    source = random.Random(seed)
    size = tokenizer.get_vocab_size()
    low = min(size, 300)
    cases = [[], [size + 1000], [0], [1], [2]]
    cases += [[source.randrange(size) for _ in range(source.randrange(1, 12))] for _ in range(40)]
    cases += [[source.randrange(low) for _ in range(source.randrange(1, 12))] for _ in range(40)]
    return cases


def golden(name, tokenizer):
    cases = []
    for text in CORPUS:
        try:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
        except BaseException as error:  # Rust's panic; added tokens that overlap can bring it about
            if type(error).__name__ != "PanicException":
                raise
            continue
        full = tokenizer.encode(text).ids
        cases.append({"text": text, "ids": ids, "special": full,
                      "decoded": tokenizer.decode(full, skip_special_tokens=False),
                      "skipped": tokenizer.decode(full, skip_special_tokens=True)})
    decoded = [{"ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                "skipped": tokenizer.decode(ids, skip_special_tokens=True)}
               for ids in random_ids(tokenizer, name)]
    return {"tokenizer": name, "made_by": "tokenizers " + tokenizers.__version__,
            "cases": cases, "decodings": decoded}


def write(path, value):
    with open(path, "w", encoding="ascii") as stream:
        json.dump(value, stream, separators=(",", ":"))
        stream.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--assets", help="folder with tokenizers/gpt2, tokenizers/llama2, ...")
    parser.add_argument("--out", required=True)
    parser.add_argument("--only", help="one of the small tokenizers")
    options = parser.parse_args()
    for make in (byte_level, metaspace, prepend, digits, oddities, normal, bert):
        name = make.__name__
        if options.only and name != options.only:
            continue
        tokenizer = make()
        folder = os.path.join(options.out, name)
        os.makedirs(folder, exist_ok=True)
        write(os.path.join(folder, "tokenizer.json"), json.loads(tokenizer.to_str()))
        write(os.path.join(options.out, name + ".golden.json"), golden(name, tokenizer))
    if options.assets:
        for name, load in (("tokenizers/gpt2", gpt2),
                           ("tokenizers/llama2", None), ("models/TinyStories-656K", None)):
            path = os.path.join(options.assets, name)
            tokenizer = load(path) if load else Tokenizer.from_file(
                os.path.join(path, "tokenizer.json"))
            short = name.split("/")[1].lower()
            write(os.path.join(options.out, short + ".golden.json"), golden(name, tokenizer))


if __name__ == "__main__":
    main()
