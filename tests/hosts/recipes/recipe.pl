# Perl, DBD::SQLite.
use strict;
use warnings;
use DBI;

# docs
my $loader = DBI->connect("dbi:SQLite::memory:");
$loader->sqlite_enable_load_extension(1);
$loader->sqlite_load_extension("./litestream-vfs", "sqlite3_litestreamdefault_init");
# end
print "loads yes\n";

# docs
my $db = DBI->connect("dbi:SQLite:uri=file:app.db?vfs=litestream&replica_url=s3://bucket/app", "", "", { RaiseError => 1 });
my $past = DBI->connect("dbi:SQLite:dbname=litestream:s3://bucket/app?time=2026-01-31T12:00:00Z", "", "", { RaiseError => 1 });
# end
my $named = DBI->connect("dbi:SQLite:dbname=litestream:s3://bucket/app", "", "", { RaiseError => 1, PrintError => 0 });

sub orders { $_[0]->selectrow_array("SELECT count(*) FROM orders") }

print "uri ", orders($db), "\n";
print "name ", orders($named), "\n";
$db->do("PRAGMA litestream_time = '2026-01-31T12:00:00Z'");
print "time ", orders($past), " ", orders($db), "\n";

eval { DBI->connect("dbi:SQLite:dbname=litestream:s3://bucket/nowhere", "", "", { RaiseError => 1, PrintError => 0 }) }
  or print "reason ", $loader->selectrow_array("SELECT litestream_last_error()"), "\n";

$| = 1;
print "ready\n";
<STDIN>;
my $end = time + 2;
$named->sqlite_progress_handler(1000, sub { time >= $end });
eval { $named->selectrow_array("SELECT sum(length(hex(content))) FROM documents") };
print "interrupt ", $named->errstr, "\n";
