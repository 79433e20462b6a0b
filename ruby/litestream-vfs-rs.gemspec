# frozen_string_literal: true

# packaging/gem builds this for each platform.
Gem::Specification.new do |spec|
  spec.name = "litestream-vfs-rs"
  spec.version = ENV.fetch("LITESTREAM_VFS_VERSION")
  spec.platform = ENV.fetch("LITESTREAM_VFS_PLATFORM")
  spec.summary = "Reads a SQLite database directly from its Litestream replica"
  spec.description = "A SQLite VFS for the gem sqlite3 and Rails: fetches pages on demand, follows the primary, and reads past states."
  spec.authors = ["The authors of litestream-vfs"]
  spec.licenses = ["MIT", "Apache-2.0"]
  spec.homepage = "https://github.com/litestream-vfs/litestream-vfs"
  spec.metadata = { "rubygems_mfa_required" => "true" }
  spec.files = Dir["lib/*", "LICENSE-*", "THIRD-PARTY-LICENSES.txt", "README.md"]
  spec.required_ruby_version = ">= 3.1"
  # Older versions take the gem for musl to be one for every Linux, and prefer it.
  spec.required_rubygems_version = ">= 3.3.22" if spec.platform.to_s.end_with?("musl")
  spec.add_dependency "sqlite3", ">= 1.4.2", "< 3"
end
