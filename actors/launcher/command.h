/*
 * command.h - a subcommand of fedmq: its name, its options, what it does.
 *
 * One file a subcommand, one row each in commands.c.  A subcommand returns 0
 * or -1 with err; the dispatcher prints the error and turns its code into the
 * exit status.  No subcommand ends the process.
 */
#ifndef FEDMQ_ACTORS_LAUNCHER_COMMAND_H
#define FEDMQ_ACTORS_LAUNCHER_COMMAND_H

#include "actors/launcher/options.h"
#include "fedmq/base/config.h"

/* Every option that a subcommand may know; a subcommand's table says which of
 * them it takes.  Texts are borrowed from argv, NULL when not given. */
typedef struct {
    const char *cfg, *client_cfg, *directory;
    const char *broker, *listen, *attach;
    const char *model, *adapter, *data, *train, *val, *test;
    const char *prompt, *input, *prompt_ids, *dtype, *config, *tokenizer, *out, *name, *fields,
        *weights;
    uint64_t id, permits, threads, seed, new_tokens, top_k, match, tok_len, batch_size, port;
    double temperature, top_p;
    bool quiet, json, insecure, resume, no_splitter, evaluator, no_evaluator, once;
    fmq_texts_t load;
    const fmq_config_offers_t *offers; /* what these have brought; NULL: nothing */
    bool decode, no_special, ids, instruct, given, all, file_only, half, watch;
} fmq_arguments_t;

#define FMQ_ROW(word, type, field, argument, help)                                                 \
    {                                                                                              \
        word, FMQ_OPTION_##type, offsetof(fmq_arguments_t, field), argument, help                  \
    }

/* Rows that several subcommands share. */
#define FMQ_ROW_CFG        FMQ_ROW("cfg", TEXT, cfg, "FILE", "configuration (YAML, as FS-LLM's)")
#define FMQ_ROW_CLIENT_CFG FMQ_ROW("client_cfg", TEXT, client_cfg, "FILE", "client_k.* overrides")
#define FMQ_ROW_DIRECTORY                                                                          \
    FMQ_ROW("directory", TEXT, directory, "DIR", "the run's directory, not outdir/expname")
#define FMQ_ROW_BROKER   FMQ_ROW("broker", TEXT, broker, "tcp://HOST:PORT", "connect there")
#define FMQ_ROW_LISTEN   FMQ_ROW("listen", TEXT, listen, "tcp://HOST:PORT", "accept peers there too")
#define FMQ_ROW_INSECURE FMQ_ROW("insecure", FLAG, insecure, NULL, "allow tcp beyond this machine")
#define FMQ_ROW_QUIET    FMQ_ROW("quiet", FLAG, quiet, NULL, "print errors only")
#define FMQ_ROW_JSON     FMQ_ROW("json", FLAG, json, NULL, "print JSON, one object a line")
#define FMQ_ROW_RESUME   FMQ_ROW("resume", FLAG, resume, NULL, "go on with the run in its directory")
#define FMQ_ROW_EVALUATOR                                                                          \
    FMQ_ROW("evaluator", FLAG, evaluator, NULL, "also measure every state on the server-held data")
#define FMQ_ROW_NO_EVALUATOR                                                                       \
    FMQ_ROW("no-evaluator", FLAG, no_evaluator, NULL, "do not, whatever the configuration says")
#define FMQ_ROW_PERMITS                                                                            \
    FMQ_ROW("permits", COUNT, permits, "N", "how many actors may compute at once")
#define FMQ_ROW_THREADS FMQ_ROW("threads", COUNT, threads, "N", "threads of each of them")
#define FMQ_ROW_WEIGHTS                                                                            \
    FMQ_ROW("weights", TEXT, weights, "FORM", "keep them as f32, bf16, int8, int4 or nf4")
#define FMQ_ROW_HALF    FMQ_ROW("half", FLAG, half, NULL, "compute in bf16")
#define FMQ_ROW_MODEL   FMQ_ROW("model", TEXT, model, "DIR", "model directory (HF layout) or id")
#define FMQ_ROW_ADAPTER FMQ_ROW("adapter", TEXT, adapter, "DIR", "PEFT directory")
#define FMQ_ROW_SEED    FMQ_ROW("seed", COUNT, seed, "N", "seed of random choices (0)")
#define FMQ_ROW_LOAD                                                                               \
    FMQ_ROW("load", TEXTS, load, "FILE.so", "an extension; may be given several times")
#define FMQ_ROWS_END                                                                               \
    {                                                                                              \
        NULL, FMQ_OPTION_FLAG, 0, NULL, NULL                                                       \
    }

typedef struct {
    const char *name;
    const char *words;   /* what follows the options in the usage line, or "" */
    const char *summary; /* one line */
    const fmq_option_t *options;
    fmq_words_rule_t rule;
    int (*run)(const fmq_arguments_t *arguments, const fmq_words_t *words, fmq_error_t *err);
} fmq_command_t;

extern const fmq_command_t fmq_command_run;
extern const fmq_command_t fmq_command_server;
extern const fmq_command_t fmq_command_client;
extern const fmq_command_t fmq_command_evaluator;
extern const fmq_command_t fmq_command_splitter;
extern const fmq_command_t fmq_command_broker;
extern const fmq_command_t fmq_command_emulator;
extern const fmq_command_t fmq_command_tokenize;
extern const fmq_command_t fmq_command_generate;
extern const fmq_command_t fmq_command_eval;
extern const fmq_command_t fmq_command_merge;
extern const fmq_command_t fmq_command_status;
extern const fmq_command_t fmq_command_list;
extern const fmq_command_t fmq_command_init;
extern const fmq_command_t fmq_command_config;
extern const fmq_command_t fmq_command_version;
extern const fmq_command_t fmq_command_help;

/* The commands, NULL at the end; and one by name, or NULL. */
const fmq_command_t *fmq_command_at(size_t index);
const fmq_command_t *fmq_command_find(const char *name);

/* Prints a command's usage and options. */
void fmq_command_print_usage(const fmq_command_t *command, FILE *out);
/* Says that there is no such command, and which one may be meant.  Returns -1. */
int fmq_command_unknown(const char *name, fmq_error_t *err);

/* What main does: finds the subcommand (or FS-LLM's form without one), runs
 * it, prints its error.  Returns the exit status. */
int fmq_commands_main(int argc, char **argv);

#endif
