/* replay_main.c: main for a fuzz target in builds without libFuzzer: runs it once over every file of a corpus
 * folder, so that each input that ever broke something is a test of every build. An empty or missing folder
 * is a failure: it would pass without having looked at anything. Each input is in a block of exactly its
 * size, so that a sanitizer sees a read past its end. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run(FILE *file, size_t size)
{
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data == NULL || fread(data, 1, size, file) != size) {
        free(data);
        return -1;
    }
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

/* 1: run; 0: a folder or the like, passed over; -1: unreadable. */
static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return -1;
    if (!S_ISREG(st.st_mode))
        return 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return -1;
    /* Named before it is run: a crash then says which. */
    printf("%s\n", path);
    fflush(stdout);
    int failed = run(file, (size_t)st.st_size);
    fclose(file);
    return failed == 0 ? 1 : -1;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    DIR *folder = opendir(argv[1]);
    if (folder == NULL) {
        fprintf(stderr, "%s cannot be opened: a fuzz target needs a corpus to be replayed\n", argv[1]);
        return 1;
    }
    unsigned inputs = 0, unreadable = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        int ran = replay(path);
        if (ran > 0)
            inputs++;
        if (ran < 0) {
            fprintf(stderr, "%s cannot be read\n", path);
            unreadable++;
        }
    }
    closedir(folder);
    printf("%u inputs\n", inputs);
    return inputs > 0 && unreadable == 0 ? 0 : 1;
}
