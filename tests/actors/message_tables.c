/*
 * message_tables.c - writes the tables of messages into docs/runs.md anew, after a
 * table of actors/protocol/messages.c has changed.
 *
 *     message_tables [PAGE]
 */
#include <stdio.h>
#include <stdlib.h>

#include "messages_page.h"

#define PAGE_MAX (1u << 20)

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : FEDMQ_SOURCE_DIR "/docs/runs.md";
    char *page = calloc(1, PAGE_MAX);
    FILE *file = fopen(path, "rb");
    if (!page || !file || fread(page, 1, PAGE_MAX - 1, file) == 0)
        return perror(path), 1;
    (void)fclose(file);
    char *written = messages_page(page);
    file = fopen(path, "wb");
    if (!written || !file || fputs(written, file) < 0 || fclose(file) != 0)
        return perror(path), 1;
    free(written);
    free(page);
    return 0;
}
