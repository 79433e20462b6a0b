/*
** Loads the extension into the SQLite that is linked to this program, and tests ordinary use: reads a replica, moves to a past state, opens an
** ordinary database afterwards, forks. Compares every result; exits with 1 at the first difference.
**
**     load-test LIBRARY REPLICA-URL MOMENT DIRECTORY
**
** REPLICA-URL is that of sample/replica, MOMENT is the time in sample/README.md, DIRECTORY is empty.
*/
#include "sqlite3.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

static void fail(const char *what, const char *why){
  fprintf(stderr, "load-test: %s: %s\n", what, why);
  exit(1);
}

static sqlite3 *open_database(const char *name){
  sqlite3 *db;
  if( sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE|SQLITE_OPEN_CREATE|SQLITE_OPEN_URI, 0)!=SQLITE_OK ){
    fail(name, sqlite3_errmsg(db));
  }
  return db;
}

static void run(sqlite3 *db, const char *sql){
  char *error = 0;
  if( sqlite3_exec(db, sql, 0, 0, &error)!=SQLITE_OK ) fail(sql, error ? error : "failed");
}

/* Fails unless the statement returns this number. */
static void expect(sqlite3 *db, const char *sql, int expected){
  sqlite3_stmt *statement;
  char found[80];
  if( sqlite3_prepare_v2(db, sql, -1, &statement, 0)!=SQLITE_OK || sqlite3_step(statement)!=SQLITE_ROW ){
    fail(sql, sqlite3_errmsg(db));
  }
  if( sqlite3_column_int(statement, 0)!=expected ){
    snprintf(found, sizeof found, "%d, expected %d", sqlite3_column_int(statement, 0), expected);
    fail(sql, found);
  }
  sqlite3_finalize(statement);
}

/* Compares the sample: its newest state, or the state before its prices rose. */
static void expect_shop(sqlite3 *db, int now){
  expect(db, "SELECT count(*) FROM orders", now ? 632 : 400);
  expect(db, "SELECT price FROM products WHERE name = 'Classic Coffee'", now ? 1562 : 1250);
  expect(db, "SELECT count(*) FROM customers", 300);
}

static void expect_plain(const char *directory){
  char *name = sqlite3_mprintf("%s/plain.db", directory);
  sqlite3 *db = open_database(name);
  run(db, "PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (19), (23);");
  sqlite3_close(db);
  db = open_database(name);
  expect(db, "SELECT sum(x) FROM t", 42);
  sqlite3_close(db);
  sqlite3_free(name);
}

int main(int count, char **arguments){
  sqlite3 *loader, *shop;
  char *error = 0, *name;
  if( count!=5 ) fail("usage", "load-test LIBRARY REPLICA-URL MOMENT DIRECTORY");

  loader = open_database(":memory:");
  sqlite3_db_config(loader, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, (int*)0);
  if( sqlite3_load_extension(loader, arguments[1], 0, &error)!=SQLITE_OK ) fail(arguments[1], error);
  sqlite3_close(loader);

  name = sqlite3_mprintf("file:shop.db?vfs=litestream&replica_url=%s", arguments[2]);
  shop = open_database(name);
  expect_shop(shop, 1);
  error = sqlite3_mprintf("PRAGMA litestream_time = %Q", arguments[3]);
  run(shop, error);
  sqlite3_free(error);
  expect_shop(shop, 0);
  run(shop, "PRAGMA litestream_time = 'LATEST'");
  expect_shop(shop, 1);
  expect_plain(arguments[4]);

#ifndef _WIN32
  {
    int status = -1;
    pid_t child = fork();
    if( child==0 ){
      sqlite3 *again = open_database(name);
      expect_shop(shop, 1);
      expect_shop(again, 1);
      _exit(0);
    }
    if( child<0 || waitpid(child, &status, 0)!=child || status!=0 ) fail("fork", "the child failed");
    expect_shop(shop, 1);
  }
#endif

  sqlite3_close(shop);
  printf("SQLite %s: ok\n", sqlite3_libversion());
  return 0;
}
