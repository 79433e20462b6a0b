// Go, github.com/mattn/go-sqlite3.
package main

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func orders(db *sql.DB) (count int) {
	check(db.QueryRow("SELECT count(*) FROM orders").Scan(&count))
	return count
}

func main() {
	// docs
	load := func(c *sqlite3.SQLiteConn) error {
		return c.LoadExtension("./litestream-vfs", "sqlite3_litestreamdefault_init")
	}
	sql.Register("litestream", &sqlite3.SQLiteDriver{ConnectHook: load})
	loader, _ := sql.Open("litestream", ":memory:")
	err := loader.Ping()
	// end
	check(err)
	fmt.Println("loads yes")

	// docs
	db, err := sql.Open("sqlite3", "file:app.db?vfs=litestream&replica_url=s3://bucket/app")
	// end
	check(err)
	// docs
	past, err := sql.Open("sqlite3", "file:app.db?vfs=litestream&replica_url=s3://bucket/app&time=2026-01-31T12:00:00Z")
	// end
	check(err)
	named, err := sql.Open("sqlite3", "litestream:s3://bucket/app")
	check(err)
	fmt.Println("uri", orders(db))
	fmt.Println("name", orders(named))
	// The pragma applies to one connection of the pool.
	db.SetMaxOpenConns(1)
	_, err = db.Exec("PRAGMA litestream_time = '2026-01-31T12:00:00Z'")
	check(err)
	fmt.Println("time", orders(past), orders(db))

	absent, err := sql.Open("sqlite3", "litestream:s3://bucket/nowhere")
	check(err)
	if absent.Ping() != nil {
		var reason string
		check(named.QueryRow("SELECT litestream_last_error()").Scan(&reason))
		fmt.Println("reason", reason)
	}

	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var length int
	err = named.QueryRowContext(ctx, "SELECT sum(length(hex(content))) FROM documents").Scan(&length)
	fmt.Println("interrupt", err)
}
