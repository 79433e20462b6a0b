/* A host without an interpreter, which chooses the SQLite library, its threading mode, and the size of the stack of its threads.

   Arguments: the path of the library, `default`, `single`, `multi` or `serialized`, the flags of `sqlite3_open_v2`, the size of a stack, the
   number of threads, the path of the extension, and the steps of each thread: a URI opens a database instead of the one before, everything
   else is SQL. Prints what the steps of one thread return, if that is the same for all. */

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;

static int (*config)(int, ...);
static int (*initialize)(void);
static int (*threadsafe)(void);
static int (*open_v2)(const char *, sqlite3 **, int, const char *);
static int (*close_v2)(sqlite3 *);
static int (*enable_load_extension)(sqlite3 *, int);
static int (*load_extension)(sqlite3 *, const char *, const char *, char **);
static int (*prepare_v2)(sqlite3 *, const char *, int, sqlite3_stmt **, const char **);
static int (*step)(sqlite3_stmt *);
static int (*finalize)(sqlite3_stmt *);
static int (*column_count)(sqlite3_stmt *);
static const unsigned char *(*column_text)(sqlite3_stmt *, int);
static const char *(*errmsg)(sqlite3 *);

static void *library;
static const char *extension;
static char **steps;
static int flags;

static void *symbol(const char *name) {
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "no %s\n", name);
        exit(2);
    }
    return found;
}

static void find_symbols(void) {
    config = symbol("sqlite3_config");
    initialize = symbol("sqlite3_initialize");
    threadsafe = symbol("sqlite3_threadsafe");
    open_v2 = symbol("sqlite3_open_v2");
    close_v2 = symbol("sqlite3_close_v2");
    enable_load_extension = symbol("sqlite3_enable_load_extension");
    load_extension = symbol("sqlite3_load_extension");
    prepare_v2 = symbol("sqlite3_prepare_v2");
    step = symbol("sqlite3_step");
    finalize = symbol("sqlite3_finalize");
    column_count = symbol("sqlite3_column_count");
    column_text = symbol("sqlite3_column_text");
    errmsg = symbol("sqlite3_errmsg");
}

static sqlite3 *opened(FILE *output, const char *uri) {
    sqlite3 *db = NULL;
    /* SQLITE_OPEN_URI */
    if (open_v2(uri, &db, flags | 0x40, NULL) != 0)
        fprintf(output, "cannot open: %s\n", errmsg(db));
    return db;
}

static void run(FILE *output, sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement = NULL;
    int code = prepare_v2(db, sql, -1, &statement, NULL);
    if (code == 0)
        while ((code = step(statement)) == 100)
            for (int column = 0; column < column_count(statement); column++) {
                const unsigned char *text = column_text(statement, column);
                fprintf(output, "%s%c", text ? (const char *)text : "NULL", column + 1 < column_count(statement) ? '|' : '\n');
            }
    if (code != 101)
        fprintf(output, "%s\n", errmsg(db));
    finalize(statement);
}

static void *run_steps(void *result) {
    size_t size;
    FILE *output = open_memstream(result, &size);
    sqlite3 *db = opened(output, ":memory:");
    char *error = NULL;
    enable_load_extension(db, 1);
    if (load_extension(db, extension, NULL, &error) != 0)
        fprintf(output, "cannot load: %s\n", error);
    for (char **next = steps; *next; next++) {
        if (strncmp(*next, "file:", 5) == 0) {
            close_v2(db);
            db = opened(output, *next);
        } else
            run(output, db, *next);
    }
    close_v2(db);
    fclose(output);
    return NULL;
}

int main(int count, char **arguments) {
    static const char *modes[] = {"default", "single", "multi", "serialized"};
    if (count < 8)
        return 2;
    library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    find_symbols();
    /* SQLITE_CONFIG_SINGLETHREAD is 1, and the others follow. */
    for (int mode = 1; mode < 4; mode++)
        if (strcmp(arguments[2], modes[mode]) == 0 && config(mode) != 0)
            return 3;
    initialize();
    printf("threadsafe %d\n", threadsafe());
    flags = (int)strtol(arguments[3], NULL, 0);
    int threads = atoi(arguments[5]);
    extension = arguments[6];
    steps = arguments + 7;
    pthread_t *ids = calloc(threads, sizeof *ids);
    char **results = calloc(threads, sizeof *results);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (pthread_attr_setstacksize(&attributes, strtoul(arguments[4], NULL, 0)) != 0)
        return 4;
    for (int thread = 0; thread < threads; thread++)
        if (pthread_create(&ids[thread], &attributes, run_steps, &results[thread]) != 0)
            return 5;
    for (int thread = 0; thread < threads; thread++) {
        pthread_join(ids[thread], NULL);
        if (strcmp(results[thread], results[0]) != 0) {
            printf("one thread: %s\nanother: %s\n", results[0], results[thread]);
            return 6;
        }
    }
    fputs(results[0], stdout);
    return 0;
}
