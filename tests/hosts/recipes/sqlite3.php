<?php
// PHP, the class SQLite3.

// docs
$loader = new SQLite3(':memory:');
$loader->loadExtension('litestream-vfs.so');
// end
echo "loads yes\n";

// docs
$db = new SQLite3('litestream:s3%3A%2F%2Fbucket%2Fapp', SQLITE3_OPEN_READONLY);
$past = new SQLite3('litestream:s3%3A%2F%2Fbucket%2Fapp?time=2026-01-31T12:00:00Z', SQLITE3_OPEN_READONLY);
// end

function orders(SQLite3 $database): int
{
    return $database->querySingle('SELECT count(*) FROM orders');
}

echo 'name ', orders($db), "\n";
$db->querySingle("PRAGMA litestream_time = '2026-01-31T12:00:00Z'");
echo 'time ', orders($past), ' ', orders($db), "\n";

try {
    new SQLite3('litestream:s3%3A%2F%2Fbucket%2Fnowhere');
} catch (Exception) {
    echo 'reason ', $loader->querySingle('SELECT litestream_last_error()'), "\n";
}
