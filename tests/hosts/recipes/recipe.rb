# Ruby, the gem sqlite3.
require "sqlite3"

# docs
loader = SQLite3::Database.new(":memory:")
loader.enable_load_extension(true)
loader.execute("SELECT load_extension('./litestream-vfs', 'sqlite3_litestreamdefault_init')")
# end
puts "loads yes"

# docs
db = SQLite3::Database.new("file:app.db?vfs=litestream&replica_url=s3://bucket/app", readonly: true)
past = SQLite3::Database.new("litestream:s3://bucket/app?time=2026-01-31T12:00:00Z", readonly: true)
# end
named = SQLite3::Database.new("litestream:s3://bucket/app", readonly: true)

def orders(database)
  database.get_first_value("SELECT count(*) FROM orders")
end

puts "uri #{orders(db)}"
puts "name #{orders(named)}"
db.execute("PRAGMA litestream_time = '2026-01-31T12:00:00Z'")
puts "time #{orders(past)} #{orders(db)}"

begin
  SQLite3::Database.new("litestream:s3://bucket/nowhere")
rescue SQLite3::CantOpenException
  puts "reason #{loader.get_first_value("SELECT litestream_last_error()")}"
end
