/* C, linked with SQLite. */
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static sqlite3 *loader, *db, *past, *named;

static void check(int code, sqlite3 *of) {
  if (code != SQLITE_OK) {
    fprintf(stderr, "%s\n", sqlite3_errmsg(of));
    exit(1);
  }
}

static int orders(sqlite3 *of) {
  sqlite3_stmt *statement;
  check(sqlite3_prepare_v2(of, "SELECT count(*) FROM orders", -1, &statement, NULL), of);
  sqlite3_step(statement);
  int count = sqlite3_column_int(statement, 0);
  check(sqlite3_finalize(statement), of);
  return count;
}

static void interrupt(int signal) {
  (void)signal;
  sqlite3_interrupt(named);
}

int main(void) {
  char *error = NULL;
  // docs
  sqlite3_open(":memory:", &loader);
  sqlite3_enable_load_extension(loader, 1);
  sqlite3_load_extension(loader, "./litestream-vfs", "sqlite3_litestreamdefault_init", &error);
  // end
  if (error != NULL) {
    fprintf(stderr, "%s\n", error);
    return 1;
  }
  puts("loads yes");

  int code =
  // docs
  sqlite3_open_v2("file:app.db?vfs=litestream&replica_url=s3://bucket/app", &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
  // end
  check(code, db);
  code =
  // docs
  sqlite3_open_v2("litestream:s3://bucket/app?time=2026-01-31T12:00:00Z", &past, SQLITE_OPEN_READONLY, NULL);
  // end
  check(code, past);
  check(sqlite3_open("litestream:s3://bucket/app", &named), named);

  printf("uri %d\n", orders(db));
  printf("name %d\n", orders(named));
  check(sqlite3_exec(db, "PRAGMA litestream_time = '2026-01-31T12:00:00Z'", NULL, NULL, NULL), db);
  printf("time %d %d\n", orders(past), orders(db));

  sqlite3 *absent;
  if (sqlite3_open("litestream:s3://bucket/nowhere", &absent) != SQLITE_OK) {
    sqlite3_stmt *reason;
    check(sqlite3_prepare_v2(loader, "SELECT litestream_last_error()", -1, &reason, NULL), loader);
    sqlite3_step(reason);
    printf("reason %s\n", sqlite3_column_text(reason, 0));
  }

  puts("ready");
  fflush(stdout);
  getchar();
  signal(SIGALRM, interrupt);
  alarm(2);
  sqlite3_exec(named, "SELECT sum(length(hex(content))) FROM documents", NULL, NULL, NULL);
  printf("interrupt %s\n", sqlite3_errmsg(named));
  return 0;
}
