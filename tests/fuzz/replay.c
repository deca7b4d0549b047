/*
 * replay: a main() that gives a fuzzer files instead of guesses.
 *
 * usage: NAME.replay LABEL FILE-OR-FOLDER...
 *
 * Linked with one fuzz_NAME.c, it runs the corpus in every test run, under whatever sanitizer the
 * build has. Each file has a process of its own, so that a crash is one failed file.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int passed, failed;

/* Exactly as many bytes as the file has, so that a sanitizer sees one read too many. */
static uint8_t *read_file(const char *path, size_t *ret_size) {
    FILE *file = fopen(path, "rb");
    struct stat status;
    uint8_t *data = NULL;
    if (!file) return NULL;
    if (fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode)) {
        *ret_size = (size_t)status.st_size;
        data = malloc(*ret_size ? *ret_size : 1);
        if (data && fread(data, 1, *ret_size, file) != *ret_size) abort();
    }
    fclose(file);
    return data;
}

static void replay_file(const char *path) {
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        size_t size = 0;
        uint8_t *data = read_file(path, &size);
        if (!data) {
            perror(path);
            exit(EXIT_FAILURE);
        }
        alarm(10);
        LLVMFuzzerTestOneInput(data, size);
        free(data);
        exit(EXIT_SUCCESS);
    }
    if (child > 0 && waitpid(child, &status, 0) == child && status == 0) {
        passed++;
        return;
    }
    printf("FAILED %s: wait status %d\n", path, status);
    failed++;
}

static void replay_folder(const char *path) {
    struct dirent **names = NULL;
    int found = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < found; i++) {
        char *file = NULL;
        if (asprintf(&file, "%s/%s", path, names[i]->d_name) < 0) abort();
        if (names[i]->d_name[0] != '.') replay_file(file);
        free(file);
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv) {
    for (int i = 2; i < argc; i++) {
        struct stat status;
        if (stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode))
            replay_folder(argv[i]);
        else
            replay_file(argv[i]);
    }
    if (passed + failed == 0) {
        fprintf(stderr, "no files to replay\n");
        return EXIT_FAILURE;
    }
    printf("%s: %d passed, %d failed, 0 skipped\n", argv[1], passed, failed);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
