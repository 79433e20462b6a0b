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
  # Is gone if the block of a transaction has ended it.
  SAVEPOINT = "litestream_run"
  # A commit in the log of Active Record, which can put comments before a statement.
  COMMIT = %r{\A(?>\s+|/\*.*?\*/|--[^\n]*\n)*commit\b}im
  LIBRARIES = %w[so dylib dll].map { |suffix| File.expand_path("litestream-vfs.#{suffix}", __dir__) }.freeze
  private_constant :SETTINGS, :LIBRARIES, :TRIES, :FIRST_PAUSE, :LONGEST_PAUSE, :SAVEPOINT, :COMMIT

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

    # Runs the block between BEGIN IMMEDIATE and COMMIT, and returns its result. After a conflict it is run again, up to `tries` times in all,
    # unless a part of it may be committed. `return`, `break` and `throw` commit as well.
    def run_transaction(database, tries: TRIES, &block)
      retried(tries) { |run| run_once(database, run, &block) }
    end

    # Runs the block, which must be a transaction, after conflicts up to `tries` times in all, with growing random pauses. Once Active Record
    # has committed to a replica, the block is not run again.
    def retry_conflicts(tries: TRIES, &block)
      retried(tries) { |run| notice_commits(run, &block) }
    end

    # Whether another writer was first, so that the transaction can be run again from its beginning. Nothing was committed, except if the
    # commit was one to several attached databases: then some of them may have committed. `error` is one of the gem sqlite3 or of Active
    # Record.
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

    # One run of a transaction. Once it is `final`, something may be committed, so that it is not run again.
    Run = Struct.new(:final)
    private_constant :Run

    def retried(tries)
      number = 0
      begin
        number += 1
        run = Run.new(false)
        yield run
      rescue StandardError => e
        raise if number >= tries || run.final || !conflict?(e)

        sleep(rand * [FIRST_PAUSE * 2**(number - 1), LONGEST_PAUSE].min)
        retry
      end
    end

    def run_once(database, run)
      database.execute("BEGIN IMMEDIATE")
      ended = false
      begin
        database.execute("SAVEPOINT #{SAVEPOINT}")
        result = yield database
        ended = true
        result
      rescue Exception
        # Whatever has ended the transaction may have committed it.
        run.final = true unless undone?(database)
        roll_back(database)
        raise
      ensure
        if ended then commit(database, run)
        elsif database.transaction_active? then leave(database, run)
        end
      end
    end

    # Ends the transaction of a block that was left neither at its end nor with an error.
    def leave(database, run)
      killed = Thread.current.status == "aborting"
      return commit(database, run) unless killed || timeouts_throw?

      roll_back(database)
      return if killed

      raise LocalJumpError, "a transaction was left with return, break or throw, and was rolled back, because this can be a timeout: " \
                            "update the gem timeout to 0.4 or newer"
    end

    # Before 0.4, an expired timeout leaves a block with `throw`.
    def timeouts_throw? = defined?(Timeout::VERSION) && Gem::Version.new(Timeout::VERSION) < Gem::Version.new("0.4")

    def commit(database, run)
      release(database, run)
      database.execute("COMMIT")
    rescue SQLite3::Exception
      roll_back(database)
      # SQLite commits to one database after the other.
      run.final ||= writable_files(database) > 1
      raise
    end

    def release(database, run)
      database.execute("RELEASE #{SAVEPOINT}")
    rescue SQLite3::SQLException => e
      raise unless e.message.include?("no such savepoint")

      run.final = true
      roll_back(database)
      raise "the block of a transaction must not commit or roll back: what it has committed stays"
    end

    # Undoes what a block has done. Returns false if the block has ended the transaction.
    def undone?(database)
      database.execute("ROLLBACK TO #{SAVEPOINT}")
      true
    rescue SQLite3::Exception
      false
    end

    # After some errors, SQLite has already rolled back.
    def roll_back(database)
      database.execute("ROLLBACK") if database.transaction_active?
    end

    # Returns how many databases outside of memory the connection may write.
    def writable_files(database)
      # Rows of statements are arrays, whatever rows the application wants.
      schemas = database.prepare("PRAGMA database_list") { |statement| statement.to_a.reject { |row| row[2].to_s.empty? } }
      schemas.count do |_, name|
        # The pragma has a row only for replicas.
        rows = database.prepare("PRAGMA \"#{name.gsub('"', '""')}\".litestream_write_enabled", &:to_a)
        rows.empty? || rows[0][0].to_i == 1
      end
    end

    # Makes a run final if it fails after Active Record has committed to a replica, for example in a callback after the commit.
    def notice_commits(run, &block)
      return yield unless defined?(ActiveSupport::Notifications)

      thread = Thread.current
      committed = []
      notice = lambda do |*, payload|
        ours = Thread.current == thread && payload[:exception].nil?
        committed << payload[:connection] if ours && payload[:sql].match?(COMMIT)
      end
      begin
        ActiveSupport::Notifications.subscribed(notice, "sql.active_record", &block)
      rescue StandardError
        run.final = committed.compact.uniq.any? { |connection| replica?(connection) }
        raise
      end
    end

    def replica?(connection)
      connection.adapter_name == "SQLite" && !connection.select_value("PRAGMA litestream_write_enabled").nil?
    end

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
