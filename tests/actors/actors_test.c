/*
 * actors_test.c - see actors_test.h.
 */
#include "actors_test.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fedmq/base/rng.h"

void test_folder_make(char out[64])
{
    strcpy(out, "/tmp/fedmq-test-XXXXXX");
    assert_non_null(mkdtemp(out));
}

void test_folder_remove(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return;
    const struct dirent *item;
    while ((item = readdir(folder))) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        char inner[512];
        snprintf(inner, sizeof inner, "%s/%s", path, item->d_name);
        struct stat status;
        if (stat(inner, &status) == 0 && S_ISDIR(status.st_mode))
            test_folder_remove(inner);
        else
            unlink(inner);
    }
    closedir(folder);
    rmdir(path);
}

const char *test_path(char out[256], const char *folder, const char *name)
{
    snprintf(out, 256, "%s/%s", folder, name);
    return out;
}

fmq_schema_t *test_schema(void)
{
    fmq_schema_t *schema = fmq_schema_new(FMQ_F32);
    assert_non_null(schema);
    assert_int_equal(fmq_schema_add(schema, "a", 2, (const uint64_t[]){40, 50}, NULL), 0);
    assert_int_equal(fmq_schema_add(schema, "b", 2, (const uint64_t[]){1000, 70}, NULL), 0);
    assert_int_equal(fmq_schema_add(schema, "c", 1, (const uint64_t[]){3}, NULL), 0);
    return schema;
}

float *test_vector(const fmq_schema_t *schema, uint32_t seed)
{
    uint64_t size = fmq_schema_elements(schema);
    float *vector = calloc(size, sizeof *vector);
    assert_non_null(vector);
    fmq_rng_t rng;
    fmq_rng_init(&rng, &(fmq_rng_name_t){.seed = seed});
    for (uint64_t i = 0; i < size; i++)
        vector[i] = (float)fmq_rng_uniform(&rng) - 0.5F;
    return vector;
}

void test_fence(void)
{
    static pthread_mutex_t fence = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&fence);
    pthread_mutex_unlock(&fence);
}
