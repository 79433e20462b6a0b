<?php
// PHP, PDO.

// docs
$loader = new SQLite3(':memory:');
$loader->loadExtension('litestream-vfs.so');
// end
echo "loads yes\n";

// docs
$db = new PDO('sqlite:file:app.db?vfs=litestream&replica_url=s3://bucket/app');
$past = new PDO('sqlite:litestream:s3%3A%2F%2Fbucket%2Fapp?time=2026-01-31T12:00:00Z');
// end
$named = new PDO('sqlite:litestream:s3%3A%2F%2Fbucket%2Fapp');

function orders(PDO $database): int
{
    return $database->query('SELECT count(*) FROM orders')->fetchColumn();
}

echo 'uri ', orders($db), "\n";
echo 'name ', orders($named), "\n";
$db->query("PRAGMA litestream_time = '2026-01-31T12:00:00Z'")->fetchAll();
echo 'time ', orders($past), ' ', orders($db), "\n";

try {
    new PDO('sqlite:litestream:s3%3A%2F%2Fbucket%2Fnowhere');
} catch (PDOException) {
    echo 'reason ', $named->query('SELECT litestream_last_error()')->fetchColumn(), "\n";
}
