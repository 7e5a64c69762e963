/*
 * foreign.c - the forms that models come in elsewhere, as a table.
 */
#include "llm/hub/foreign.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm/hub/file.h"

#define CONVERT                                                                                    \
    "write it as safetensors with transformers (AutoModelForCausalLM.from_pretrained(...)."        \
    "save_pretrained(...))"

typedef struct {
    const char *ending; /* of the name; compared from the end */
    const char *magic;  /* first bytes; NULL: the name decides */
    const char *what, *todo;
} form_t;

static const form_t forms[] = {
    {".gguf", "GGUF", "a GGUF file (llama.cpp's format)",
     "fetch the model in Hugging Face's layout, or convert it: transformers reads GGUF "
     "(from_pretrained(..., gguf_file=...)) and save_pretrained() writes safetensors"},
    {".onnx", NULL, "an ONNX graph", "fetch the model in Hugging Face's layout"},
    {".bin", NULL, "a pickled PyTorch checkpoint", CONVERT},
    {".pth", NULL, "a pickled PyTorch checkpoint", CONVERT},
    {".pt", NULL, "a pickled PyTorch checkpoint", CONVERT},
    {".ckpt", NULL, "a pickled checkpoint", CONVERT},
    {".h5", NULL, "a TensorFlow checkpoint", CONVERT},
    {".msgpack", NULL, "a Flax checkpoint", CONVERT},
    {".ggml", NULL, "a GGML file (llama.cpp's old format)",
     "fetch the model in Hugging Face's layout"},
    {"adapter_config.json", NULL, "an adapter's, not a model's",
     "give the directory of the base model, and this one as the adapter"},
    {".safetensors", NULL, "a safetensors file by itself",
     "give the directory that holds it as model.safetensors beside its config.json (shards need "
     "model.safetensors.index.json)"},
};

static bool ends_with(const char *name, const char *ending)
{
    size_t size = strlen(name), tail = strlen(ending);
    return size >= tail && strcmp(name + size - tail, ending) == 0;
}

static bool begins_with(const char *path, const char *magic)
{
    char first[8] = "";
    FILE *file = fopen(path, "rb");
    size_t size = strlen(magic);
    bool same = file && fread(first, 1, size, file) == size && memcmp(first, magic, size) == 0;
    if (file)
        (void)fclose(file);
    return same;
}

/* The row of a file; by its first bytes a form is known under any name. */
static size_t form_of(const char *path, bool look_inside)
{
    size_t i = 0, count = sizeof forms / sizeof *forms;
    while (i < count && !ends_with(path, forms[i].ending) &&
           !(look_inside && forms[i].magic && begins_with(path, forms[i].magic)))
        i++;
    return i;
}

static bool say(const char *path, size_t form, char out[LLM_FOREIGN_MAX])
{
    if (form >= sizeof forms / sizeof *forms)
        return false;
    (void)snprintf(out, LLM_FOREIGN_MAX, "'%.160s' is %s; %s", path, forms[form].what,
                   forms[form].todo);
    return true;
}

/* The file of a directory whose form comes first in the table. */
static bool describe_directory(const char *path, char out[LLM_FOREIGN_MAX])
{
    size_t best = sizeof forms / sizeof *forms;
    char *named = NULL;
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        size_t form = form_of(entry->d_name, false);
        if (form >= best)
            continue;
        best = form;
        free(named);
        named = llm_file_path(path, entry->d_name);
    }
    if (folder)
        (void)closedir(folder);
    bool found = named && say(named, best, out);
    free(named);
    return found;
}

bool llm_foreign_describe(const char *path, char out[LLM_FOREIGN_MAX])
{
    if (llm_file_is_directory(path))
        return describe_directory(path, out);
    return llm_file_exists(path) && say(path, form_of(path, true), out);
}
