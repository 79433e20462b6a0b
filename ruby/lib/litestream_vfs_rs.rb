# frozen_string_literal: true

require "erb"
require "sqlite3"
require "time"

# Opens SQLite databases directly from their Litestream replicas, for reading and writing, with the gem sqlite3.
module LitestreamVfsRs
  # A replica that cannot be opened. The message ends with the reason; `cause` is the error of the gem sqlite3.
  class Error < SQLite3::Exception; end

  # The settings of docs/configuration.md and docs/writing.md that a name can contain.
  SETTINGS = %i[
    attach buffer_path cache_dir cache_size compaction disk_cache_size hydration_enabled hydration_path l0_retention max_staleness
    open_timeout poll_interval read_timeout snapshot_interval snapshot_retention sync_interval time time_travel txid verify write_enabled
    write_takeover
  ].freeze
  # How often a transaction is run before its conflict is an error.
  TRIES = 10
  # The longest pause in seconds before a second run, and before any run.
  FIRST_PAUSE = 0.02
  LONGEST_PAUSE = 1.0
  LIBRARIES = %w[so dylib dll].map { |suffix| File.expand_path("litestream-vfs.#{suffix}", __dir__) }.freeze
  private_constant :SETTINGS, :LIBRARIES, :TRIES, :FIRST_PAUSE, :LONGEST_PAUSE

  @mutex = Mutex.new
  @loaded = false

  class << self
    # The path of the library. The gem for the platform contains it; LITESTREAM_VFS_PATH overrides it.
    def to_path
      override = ENV.fetch("LITESTREAM_VFS_PATH", "")
      path = override.empty? ? LIBRARIES.find { |each| File.exist?(each) } : File.expand_path(override)
      return path if path && File.exist?(path)
      raise LoadError, "LITESTREAM_VFS_PATH names #{override}, which does not exist" unless override.empty?

      raise LoadError, "this gem contains no library for #{RUBY_PLATFORM}: install the gem for this platform, " \
                       "or set LITESTREAM_VFS_PATH to the path of the library"
    end

    # Loads the extension. Names of replicas then work in every connection of the process that is opened later.
    def load
      @mutex.synchronize do
        next if @loaded

        db = SQLite3::Database.new(":memory:")
        db.enable_load_extension(true)
        db.execute("SELECT load_extension(?, 'sqlite3_litestreamdefault_init')", [to_path])
        db.close
        @loaded = true
      end
    end

    # Returns the name of a replica, for programs that open databases by name. Without a URL, LITESTREAM_REPLICA_URL is used.
    def name(url = nil, **settings)
      unknown = settings.keys - SETTINGS
      raise ArgumentError, "not a setting of a replica: #{unknown.join(", ")}" unless unknown.empty?

      parameters = { vfs: "litestream", replica_url: url }.merge(settings.transform_values { |value| text(value) }).compact
      "file:replica.db?#{parameters.map { |key, value| "#{key}=#{ERB::Util.url_encode(value)}" }.join("&")}"
    end

    # Opens a replica, and returns a SQLite3::Database, which is read-only without `write_enabled`. Takes the settings of a replica, and
    # options of SQLite3::Database.new.
    def open(url = nil, **options)
      settings, host = options.partition { |key, _| SETTINGS.include?(key) }.map(&:to_h)
      load
      SQLite3::Database.new(name(url, **settings), writes?(settings) ? host : host.merge(readonly: true))
    rescue SQLite3::CantOpenException, SQLite3::CorruptException, SQLite3::InternalException => e
      raise Error, [e.message, last_error].compact.join(": ")
    end

    # Runs the block between BEGIN IMMEDIATE and COMMIT, and returns its result. After a conflict it is run again, up to `tries` times in all.
    def run_transaction(database, tries: TRIES)
      retry_conflicts(tries: tries) do
        database.execute("BEGIN IMMEDIATE")
        begin
          result = yield database
          database.execute("COMMIT")
          result
        ensure
          database.execute("ROLLBACK") if database.transaction_active?
        end
      end
    end

    # Runs the block, which must be a transaction, after conflicts up to `tries` times in all, with growing random pauses.
    def retry_conflicts(tries: TRIES)
      number = 0
      begin
        number += 1
        yield
      rescue StandardError => e
        raise if number >= tries || !conflict?(e)

        sleep(rand * [FIRST_PAUSE * 2**(number - 1), LONGEST_PAUSE].min)
        retry
      end
    end

    # Whether another writer was first, so that nothing was committed and the transaction can be run again from its beginning. `error` is one
    # of the gem sqlite3 or of Active Record.
    def conflict?(error)
      found = error.is_a?(SQLite3::Exception) ? error : error.cause
      found.is_a?(SQLite3::BusyException) && found.message.start_with?("database is locked")
    end

    # Why an open, a read or a poll failed last on this thread, or nil.
    def last_error
      load
      db = SQLite3::Database.new(":memory:")
      db.get_first_value("SELECT litestream_last_error()")
    ensure
      db&.close
    end

    private

    def writes?(settings) = !%w[off 0 false no].include?((text(settings[:write_enabled]) || "off").downcase)

    def text(value)
      case value
      when Time then value.getutc.iso8601(3)
      when true then "on"
      when false then "off"
      else value&.to_s
      end
    end
  end
end
