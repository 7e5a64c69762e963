/*
 * kind.c - tables of first bytes, and a guess at tables without any.
 */
#include "llm/hub/kind.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define UTF16_ADVICE "text in UTF-16: save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8"
#define UTF32_ADVICE "text in UTF-32: save it as UTF-8, or convert it: iconv -f UTF-32 -t UTF-8"

typedef struct {
    const char *bytes;
    size_t size, offset;
    const char *text;
} magic_t;

#define MAGIC(bytes, text)                                                                         \
    {                                                                                              \
        bytes, sizeof bytes - 1, 0, text                                                           \
    }

/* The first row that fits counts: UTF-32's mark begins with UTF-16's. */
static const magic_t magics[] = {
    MAGIC("\xFF\xFE\0\0", UTF32_ADVICE),
    MAGIC("\0\0\xFE\xFF", UTF32_ADVICE),
    MAGIC("\xFF\xFE", UTF16_ADVICE),
    MAGIC("\xFE\xFF", UTF16_ADVICE),
    MAGIC("PK\3\4",
          "a zip archive, as .xlsx and .docx files are too: unpack it, or export the sheet, "
          "and give what is inside"),
    MAGIC("\x1F\x8B", "packed with gzip: unpack it with gunzip"),
    MAGIC("BZh", "packed with bzip2: unpack it with bunzip2, or pack it with gzip instead"),
    MAGIC("\xFD"
          "7zXZ\0",
          "packed with xz: unpack it with unxz, or pack it with gzip instead"),
    MAGIC("\x28\xB5\x2F\xFD",
          "packed with zstd: unpack it with unzstd, or pack it with gzip instead"),
    MAGIC("7z\xBC\xAF\x27\x1C", "a 7z archive: unpack it"),
    MAGIC("Rar!\x1A\x07", "a rar archive: unpack it"),
    MAGIC("PAR1", "a Parquet file: write it as JSON Lines, such as with "
                  "pandas.read_parquet(FILE).to_json(OUT, orient='records', lines=True)"),
    MAGIC("ARROW1", "an Arrow file: write it as JSON Lines, such as with "
                    "datasets.Dataset.from_file(FILE).to_json(OUT)"),
    MAGIC("\xFF\xFF\xFF\xFF", "an Arrow stream: write it as JSON Lines, such as with "
                              "datasets.Dataset.from_file(FILE).to_json(OUT)"),
    MAGIC("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
          "an old Office document (.xls, .doc): export it as text"),
    MAGIC("SQLite format 3", "an SQLite database: export the table as JSON Lines"),
    MAGIC("\x89HDF", "an HDF5 file: write it as JSON Lines"),
    MAGIC("%PDF-", "a PDF document: extract its text"),
    MAGIC("\x89PNG", "a picture"),
    MAGIC("\xFF\xD8\xFF", "a picture"),
    MAGIC("GGUF", "a GGUF model, not text"),
    MAGIC("\x7F"
          "ELF",
          "a program, not text"),
    MAGIC("\x80\2", "a Python pickle: write it as JSON Lines"),
    MAGIC("\x80\3", "a Python pickle: write it as JSON Lines"),
    MAGIC("\x80\4", "a Python pickle: write it as JSON Lines"),
    MAGIC("\x80\5", "a Python pickle: write it as JSON Lines"),
    {"ustar", 5, 257, "a tar archive: unpack it"},
};

static bool fits(const magic_t *magic, const char *head, size_t size)
{
    return size >= magic->offset + magic->size &&
           memcmp(head + magic->offset, magic->bytes, magic->size) == 0;
}

/* UTF-16 and UTF-32 without a mark: an ASCII character and its zeros. */
static const char *kind_of_wide(const unsigned char *head, size_t size)
{
    if (size >= 4 && !head[0] && !head[1] && !head[2] && head[3])
        return UTF32_ADVICE;
    if (size >= 4 && head[0] && !head[1] && !head[2] && !head[3])
        return UTF32_ADVICE;
    if (size >= 4 && !head[0] && head[1] && !head[2] && head[3])
        return UTF16_ADVICE;
    if (size >= 4 && head[0] && !head[1] && head[2] && !head[3])
        return UTF16_ADVICE;
    return NULL;
}

const char *llm_kind_of_binary(const void *head, size_t size)
{
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if (fits(&magics[i], head, size))
            return magics[i].text;
    return kind_of_wide(head, size);
}

static bool begins(const char *text, size_t size, const char *word)
{
    size_t length = strlen(word);
    return size >= length && strncasecmp(text, word, length) == 0;
}

/* How often a byte stands in the first line; 0 in a line that is no text. */
static size_t count_in_line(const char *text, size_t size, char byte)
{
    size_t count = 0;
    for (size_t i = 0; i < size && text[i] != '\n' && text[i] != '\r'; i++) {
        if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7F)
            return 0;
        count += text[i] == byte;
    }
    return count;
}

const char *llm_kind_of_text(const void *head, size_t size)
{
    size_t mark = llm_kind_mark(head, size);
    const char *text = (const char *)head + mark;
    size -= mark;
    while (size && strchr(" \t\r\n", *text) && *text) {
        text++;
        size--;
    }
    if (size == 0 || *text == '{' || *text == '[')
        return NULL;
    if (begins(text, size, "<!doctype") || begins(text, size, "<html"))
        return "a web page, perhaps the one about the file: download the file itself";
    if (begins(text, size, "<?xml"))
        return "XML: write it as JSON Lines";
    if (begins(text, size, "version https://git-lfs"))
        return "a pointer of Git LFS, not the file itself: fetch it with git lfs pull";
    if (count_in_line(text, size, '\t') > 0)
        return "a table with tabs (TSV): write it as JSON Lines, such as with "
               "pandas.read_csv(FILE, sep='\\t').to_json(OUT, orient='records', lines=True)";
    if (count_in_line(text, size, ',') > 0 || count_in_line(text, size, ';') > 0)
        return "a table with commas (CSV): write it as JSON Lines, such as with "
               "pandas.read_csv(FILE).to_json(OUT, orient='records', lines=True)";
    return NULL;
}

size_t llm_kind_mark(const void *head, size_t size)
{
    return size >= 3 && memcmp(head, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}
