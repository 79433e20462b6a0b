# frozen_string_literal: true

require "erb"
require "sqlite3"
require "time"

# Opens SQLite databases directly from their Litestream replicas, with the gem sqlite3.
module LitestreamVfsRs
  # A replica that cannot be opened. The message ends with the reason; `cause` is the error of the gem sqlite3.
  class Error < SQLite3::Exception; end

  # The settings of docs/configuration.md that a name can contain.
  SETTINGS = %i[
    attach cache_dir cache_size disk_cache_size hydration_enabled hydration_path max_staleness open_timeout poll_interval read_timeout
    time time_travel txid verify
  ].freeze
  LIBRARIES = %w[so dylib dll].map { |suffix| File.expand_path("litestream-vfs.#{suffix}", __dir__) }.freeze
  private_constant :SETTINGS, :LIBRARIES

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

    # Opens a replica, and returns a read-only SQLite3::Database. Takes the settings of a replica, and options of SQLite3::Database.new.
    def open(url = nil, **options)
      settings, host = options.partition { |key, _| SETTINGS.include?(key) }.map(&:to_h)
      load
      SQLite3::Database.new(name(url, **settings), host.merge(readonly: true))
    rescue SQLite3::CantOpenException, SQLite3::CorruptException, SQLite3::InternalException => e
      raise Error, [e.message, last_error].compact.join(": ")
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
