-- Time travel by pragmas, functions and the URI.
.load $LIBRARY
.open 'file:app.db?vfs=litestream&replica_url=$URL'
.headers on
PRAGMA litestream_txid;
PRAGMA litestream_time;
.headers off
SELECT count(*) FROM orders;
PRAGMA litestream_time = '$EARLIER';
SELECT count(*), litestream_time() <= '$EARLIER' FROM orders;
PRAGMA litestream_time = LATEST;
SELECT count(*) FROM orders;
PRAGMA main.litestream_txid = '$FIRST_TXID';
SELECT count(*), litestream_txid(), litestream_time('main') FROM orders;
SELECT litestream_set_time('latest', 'main');
SELECT litestream_set_time('2100-01-01');

-- A time that is set inside a transaction applies to the next one.
BEGIN;
SELECT count(*) FROM orders;
SELECT litestream_set_time('$EARLIER') <= '$EARLIER';
SELECT count(*), litestream_txid() FROM orders;
COMMIT;
SELECT count(*) FROM orders;

-- SQLite runs such a pragma when it compiles it, also for EXPLAIN.
.once /dev/null
EXPLAIN PRAGMA litestream_time = 'LATEST';
SELECT count(*) FROM orders;

-- Opened in the past.
.open 'file:app.db?vfs=litestream&replica_url=$URL&txid=$FIRST_TXID'
SELECT count(*), litestream_txid() FROM orders;
.open 'file:app.db?vfs=litestream&replica_url=$URL&time=$EARLIER'
SELECT count(*) FROM orders;

-- Past and present in one statement.
.open 'file:app.db?vfs=litestream&replica_url=$URL'
ATTACH 'file:then.db?vfs=litestream&replica_url=$URL&time=$EARLIER' AS past;
SELECT (SELECT count(*) FROM main.orders), (SELECT count(*) FROM past.orders);
SELECT name, was.price, now.price FROM past.products AS was JOIN main.products AS now USING (name) WHERE was.price <> now.price ORDER BY name LIMIT 2;
SELECT count(*) FROM (SELECT id FROM past.orders EXCEPT SELECT id FROM main.orders);
SELECT schema, held_by, txid = head_txid, connections FROM litestream_status;
SELECT litestream_set_time('LATEST', 'past') = litestream_time('main');
SELECT count(*) FROM (SELECT * FROM past.orders EXCEPT SELECT * FROM main.orders);
